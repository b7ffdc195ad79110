import CGSL

/// The trust-region methods of GSL's `multifit_nlinear` that are tried, in this order.
enum SolverMethod: CaseIterable {
  case accelerated
  case acceleratedLevenberg
  case levenbergMarquardt
  case dogleg

  var codes: (method: Int32, scale: Int32) {
    switch self {
    case .accelerated: (0, 0)
    case .acceleratedLevenberg: (0, 1)
    case .levenbergMarquardt: (1, 0)
    case .dogleg: (2, 0)
    }
  }
}

/// GSL's `multifit_nlinear`, driven one iteration at a time.
///
/// None of the library's own verdicts is believed. Its driver swallows the errors of callbacks and reports a
/// failed first step as too many iterations; `ftol` is never looked at; `gtol` is absolute once the objective
/// is below one; a NaN residual passes as success. So the loop is ours: it stops when steps have become
/// smaller than `xtol` relative to the parameters or when GSL finds no further step, rows that are not finite
/// count as very large, and whether the point is an optimum is decided afterwards from the gradient (`Polish`).
struct NonlinearSolver {
  var method = SolverMethod.accelerated
  var xtol = 1e-11
  var maxIterations = 400

  /// What the iteration ended with.
  struct Outcome {
    var u: [Double]
    var iterations: Int
  }

  /// GSL's version.
  static var libraryVersion: String { String(cString: attnlab_gsl_version()) }

  /// Follows one start down; nil when the start itself has no finite value or GSL has no memory.
  func minimise(_ problem: Problem, from start: [Double]) -> Outcome? {
    let n = problem.rows
    let p = problem.parameters
    guard p > 0, n >= p, start.count == p, problem.objective(at: start).isFinite else { return nil }
    let codes = method.codes
    guard let workspace = GSL.quietly({ attnlab_nlinear_alloc(codes.method, codes.scale, n, p) }) else {
      return nil
    }
    defer { gsl_multifit_nlinear_free(workspace) }

    let callbacks = Callbacks(problem)
    return withExtendedLifetime(callbacks) {
      // GSL keeps the address of this structure for the whole of the iteration.
      let holder = UnsafeMutablePointer<gsl_multifit_nlinear_fdf>.allocate(capacity: 1)
      defer { holder.deallocate() }
      var system = gsl_multifit_nlinear_fdf()
      system.f = { x, context, f in Callbacks.evaluate(x, context, residuals: f, jacobian: nil) }
      system.df = { x, context, j in Callbacks.evaluate(x, context, residuals: nil, jacobian: j) }
      system.fvv = nil
      system.n = n
      system.p = p
      system.params = Unmanaged.passUnretained(callbacks).toOpaque()
      holder.initialize(to: system)
      return start.withUnsafeBufferPointer { buffer -> Outcome? in
        var view = gsl_vector_const_view_array(buffer.baseAddress, p)
        guard gsl_multifit_nlinear_init(&view.vector, holder, workspace) == Int32(GSL_SUCCESS) else {
          return nil
        }
        var iterations = 0
        while iterations < maxIterations {
          let status = gsl_multifit_nlinear_iterate(workspace)
          iterations += 1
          if status != Int32(GSL_SUCCESS) { break }
          if Self.stepIsSmall(workspace.pointee, p, xtol) { break }
        }
        let x = workspace.pointee.x.pointee
        return Outcome(u: (0..<p).map { x.data[$0 * x.stride] }, iterations: iterations)
      }
    }
  }

  private static func stepIsSmall(_ workspace: gsl_multifit_nlinear_workspace, _ p: Int, _ xtol: Double)
    -> Bool
  {
    let x = workspace.x.pointee
    let dx = workspace.dx.pointee
    return (0..<p).allSatisfy { abs(dx.data[$0 * dx.stride]) <= xtol * (abs(x.data[$0 * x.stride]) + xtol) }
  }
}

/// What GSL's C callbacks reach through their `void *`: a problem and its scratch space.
private final class Callbacks {
  private let problem: Problem
  private var u: [Double]
  private var z: [Double]
  private var jacobian: [Double]
  private var none: [Double] = []

  init(_ problem: Problem) {
    self.problem = problem
    u = [Double](repeating: 0, count: problem.parameters)
    z = [Double](repeating: 0, count: problem.rows)
    jacobian = [Double](repeating: 0, count: problem.rows * problem.parameters)
  }

  static func evaluate(
    _ x: UnsafePointer<gsl_vector>?, _ context: UnsafeMutableRawPointer?,
    residuals: UnsafeMutablePointer<gsl_vector>?, jacobian: UnsafeMutablePointer<gsl_matrix>?
  ) -> Int32 {
    guard let x, let context else { return Int32(GSL_EFAULT) }
    let callbacks = Unmanaged<Callbacks>.fromOpaque(context).takeUnretainedValue()
    callbacks.run(x.pointee, residuals?.pointee, jacobian?.pointee)
    return Int32(GSL_SUCCESS)
  }

  private func run(_ x: gsl_vector, _ f: gsl_vector?, _ j: gsl_matrix?) {
    let p = u.count
    for k in 0..<p { u[k] = x.data[k * x.stride] }
    if let j {
      _ = problem.transformed(at: u, &z, jacobian: &jacobian)
      for i in z.indices { for k in 0..<p { j.data[i * j.tda + k] = jacobian[i * p + k] } }
    } else if let f {
      _ = problem.transformed(at: u, &z, jacobian: &none)
      for i in z.indices { f.data[i * f.stride] = z[i] }
    }
  }
}
