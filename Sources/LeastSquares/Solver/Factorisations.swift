import CGSL

/// A small square matrix in row order.
package struct Matrix: Sendable, Equatable {
  package let size: Int
  package var elements: [Double]

  init(size: Int) {
    self.size = size
    elements = [Double](repeating: 0, count: size * size)
  }
  package subscript(i: Int, j: Int) -> Double {
    get { elements[i * size + j] }
    set { elements[i * size + j] = newValue }
  }

  func times(_ v: [Double]) -> [Double] {
    (0..<size).map { i in (0..<size).map { self[i, $0] * v[$0] }.sum() }
  }
  /// aᵀ M b.
  package func form(_ a: [Double], _ b: [Double]) -> Double { zip(a, times(b)).map { $0 * $1 }.sum() }

  func times(_ other: Matrix) -> Matrix {
    var product = Matrix(size: size)
    for i in 0..<size {
      for j in 0..<size { product[i, j] = (0..<size).map { self[i, $0] * other[$0, j] }.sum() }
    }
    return product
  }

  /// The inverse by LU with pivoting; nil when a pivot vanishes beside columns of largest element one.
  var inverse: Matrix? {
    var (factor, inverse) = (self, Matrix(size: size))
    let status = GSL.quietly { attnlab_lu_inverse(&factor.elements, &inverse.elements, size, 1e-14) }
    return status == 0 ? inverse : nil
  }
}

/// GSL with errors as codes instead of the end of the process.
enum GSL {
  private static let quiet: Void = attnlab_gsl_return_errors()

  /// Calls GSL after its error handler was switched off, which is done once.
  static func quietly<Result>(_ call: () -> Result) -> Result {
    _ = quiet
    return call()
  }
}

/// Cholesky factor of a positive definite matrix scaled to a unit diagonal; nil when it is not.
struct Cholesky {
  private let factor: Matrix
  private let scale: [Double]

  /// - Parameter ridge: added to the unit diagonal.
  init?(_ matrix: Matrix, ridge: Double = 0) {
    var factor = matrix
    var scale = [Double](repeating: 0, count: matrix.size)
    guard matrix.elements.allSatisfy(\.isFinite),
      GSL.quietly({ attnlab_cholesky(&factor.elements, &scale, matrix.size, ridge, 1e-15) }) == 0
    else { return nil }
    (self.factor, self.scale) = (factor, scale)
  }

  func solve(_ b: [Double]) -> [Double] {
    var x = b
    attnlab_cholesky_solve(factor.elements, scale, &x, x.count)
    return x
  }

  func inverse() -> Matrix {
    var inverse = factor
    attnlab_cholesky_inverse(&inverse.elements, scale, inverse.size)
    return inverse
  }
}

/// QR of a tall matrix with its columns scaled to length one, then the singular values of R by one-sided Jacobi.
///
/// The covariance (JᵀJ)⁻¹ comes from here rather than from JᵀJ itself, which would square the condition.
/// Complexity O(n p²).
package struct TallFactor {
  let p: Int
  /// Lengths of the columns.
  let norms: [Double]
  /// Singular values of the scaled matrix, largest first, and right vectors as columns of `right`.
  let singular: [Double]
  let right: Matrix
  private let left: Matrix
  private let qtb: [Double]

  /// - Parameter jacobian: `[rows, p]` in row order.
  package init(_ jacobian: [Double], rows: Int, p: Int, rhs: [Double]? = nil) {
    self.p = p
    // Fewer rows than columns are as good as rows of zeros.
    let missing = max(0, p - rows)
    var a = jacobian + [Double](repeating: 0, count: missing * p)
    var b = (rhs ?? [Double](repeating: 0, count: rows)) + [Double](repeating: 0, count: missing)
    var norms = [Double](repeating: 0, count: p)
    var singular = norms
    var (left, right) = (Matrix(size: p), Matrix(size: p))
    if p > 0 {
      _ = GSL.quietly {
        attnlab_tall_factor(
          &a, &b, rows + missing, p, &norms, &left.elements, &right.elements, &singular)
      }
    }
    (self.norms, self.singular, self.left, self.right) = (norms, singular, left, right)
    qtb = Array(b.prefix(p))
  }

  /// Largest over smallest singular value of the scaled matrix; infinite when dependent.
  var condition: Double {
    guard let first = singular.first, let last = singular.last, last > 0 else { return .infinity }
    return first / last
  }

  /// Directions below this fraction of the largest singular value count as dependent.
  static let dependent = 1e-13

  /// (JᵀJ)⁻¹ and, for each parameter, whether a dependent direction runs through it.
  package func inverseNormal() -> (Matrix, unidentified: [Bool]) {
    var inverse = Matrix(size: p)
    var lost = norms.map { $0 == 0 }
    for s in 0..<p {
      if !(singular[s] > TallFactor.dependent * (singular.first ?? 0)) {
        for k in 0..<p where abs(right[k, s]) > 1e-3 { lost[k] = true }
        continue
      }
      let w = 1 / (singular[s] * singular[s])
      for i in 0..<p where norms[i] > 0 {
        for j in 0..<p where norms[j] > 0 {
          inverse[i, j] += w * right[i, s] * right[j, s] / (norms[i] * norms[j])
        }
      }
    }
    return (inverse, lost)
  }

  /// The length of the right side's part in the space of the columns, dependent directions left out.
  var projected: Double { qtb.map { $0 * $0 }.sum().squareRoot() }

  /// Least-squares solution of J x = rhs, dependent directions left at zero.
  package func solve(ignoringBelow threshold: Double = 1e-15) -> [Double] {
    var x = [Double](repeating: 0, count: p)
    for s in 0..<p where singular[s] > threshold * (singular.first ?? 0) {
      let f = (0..<p).map { left[$0, s] * qtb[$0] }.sum() / singular[s]
      for k in 0..<p { x[k] += f * right[k, s] }
    }
    return zip(x, norms).map { $1 > 0 ? $0 / $1 : 0 }
  }
}
