/// A small square matrix in row order.
struct Matrix: Sendable, Equatable {
  let size: Int
  var elements: [Double]

  init(size: Int) {
    self.size = size
    elements = [Double](repeating: 0, count: size * size)
  }
  subscript(i: Int, j: Int) -> Double {
    get { elements[i * size + j] }
    set { elements[i * size + j] = newValue }
  }

  func times(_ v: [Double]) -> [Double] {
    (0..<size).map { i in (0..<size).map { self[i, $0] * v[$0] }.sum() }
  }
  /// aᵀ M b.
  func form(_ a: [Double], _ b: [Double]) -> Double { zip(a, times(b)).map { $0 * $1 }.sum() }

  func times(_ other: Matrix) -> Matrix {
    var product = Matrix(size: size)
    for i in 0..<size {
      for j in 0..<size { product[i, j] = (0..<size).map { self[i, $0] * other[$0, j] }.sum() }
    }
    return product
  }
}

/// Cholesky factor of a positive definite matrix scaled to a unit diagonal; nil when it is not.
struct Cholesky {
  private let lower: Matrix
  private let scale: [Double]

  init?(_ matrix: Matrix, ridge: Double = 0) {
    let n = matrix.size
    var scale = [Double](repeating: 1, count: n)
    for i in 0..<n {
      guard matrix[i, i] > 0, matrix[i, i].isFinite else { return nil }
      scale[i] = 1 / matrix[i, i].squareRoot()
    }
    var l = Matrix(size: n)
    for i in 0..<n {
      for j in 0...i {
        var sum = matrix[i, j] * scale[i] * scale[j] + (i == j ? ridge : 0)
        for k in 0..<j { sum -= l[i, k] * l[j, k] }
        if i == j {
          guard sum > 1e-15 else { return nil }
          l[i, i] = sum.squareRoot()
        } else {
          l[i, j] = sum / l[j, j]
        }
      }
    }
    lower = l
    self.scale = scale
  }

  func solve(_ b: [Double]) -> [Double] {
    let n = b.count
    var y = b
    for i in 0..<n { y[i] *= scale[i] }
    for i in 0..<n {
      for k in 0..<i { y[i] -= lower[i, k] * y[k] }
      y[i] /= lower[i, i]
    }
    for i in stride(from: n - 1, through: 0, by: -1) {
      for k in (i + 1)..<max(n, i + 1) { y[i] -= lower[k, i] * y[k] }
      y[i] /= lower[i, i]
    }
    for i in 0..<n { y[i] *= scale[i] }
    return y
  }

  func inverse() -> Matrix {
    let n = scale.count
    var inverse = Matrix(size: n)
    for j in 0..<n {
      var unit = [Double](repeating: 0, count: n)
      unit[j] = 1
      let column = solve(unit)
      for i in 0..<n { inverse[i, j] = column[i] }
    }
    return inverse
  }
}

/// QR of a tall matrix with its columns scaled to length one, then the singular values of R.
///
/// The covariance (JᵀJ)⁻¹ comes from here rather than from JᵀJ itself, which would square the condition.
/// Complexity O(n p²).
struct TallFactor {
  let p: Int
  /// Lengths of the columns.
  let norms: [Double]
  /// Singular values of the scaled matrix, largest first, and right vectors as columns of `right`.
  let singular: [Double]
  let right: Matrix
  private let r: Matrix
  private let qtb: [Double]

  /// - Parameter jacobian: `[rows, p]` in row order.
  init(_ jacobian: [Double], rows: Int, p: Int, rhs: [Double]? = nil) {
    self.p = p
    var a = jacobian
    var b = rhs ?? []
    var norms = [Double](repeating: 0, count: p)
    for k in 0..<p {
      var largest = 0.0
      for i in 0..<rows { largest = max(largest, abs(a[i * p + k])) }
      var sum = 0.0
      if largest > 0 { for i in 0..<rows { let v = a[i * p + k] / largest; sum += v * v } }
      norms[k] = largest * sum.squareRoot()
      let inverse = norms[k] > 0 ? 1 / norms[k] : 0
      for i in 0..<rows { a[i * p + k] *= inverse }
    }
    self.norms = norms
    var r = Matrix(size: p)
    for k in 0..<min(p, rows) {
      var sum = 0.0
      for i in k..<rows { sum += a[i * p + k] * a[i * p + k] }
      let length = sum.squareRoot()
      if length == 0 { continue }
      let alpha = a[k * p + k] > 0 ? -length : length
      let head = a[k * p + k] - alpha
      a[k * p + k] = head
      let beta = -alpha * head  // half of vᵀv
      for c in (k + 1)..<max(p, k + 1) {
        var dot = 0.0
        for i in k..<rows { dot += a[i * p + k] * a[i * p + c] }
        let f = dot / beta
        for i in k..<rows { a[i * p + c] -= f * a[i * p + k] }
      }
      if !b.isEmpty {
        var dot = 0.0
        for i in k..<rows { dot += a[i * p + k] * b[i] }
        let f = dot / beta
        for i in k..<rows { b[i] -= f * a[i * p + k] }
      }
      r[k, k] = alpha
      for c in (k + 1)..<max(p, k + 1) { r[k, c] = a[k * p + c] }
    }
    self.r = r
    qtb = b.isEmpty ? [] : Array(b.prefix(p)) + [Double](repeating: 0, count: max(0, p - rows))
    (singular, right) = TallFactor.jacobi(r)
  }

  /// Largest over smallest singular value of the scaled matrix; infinite when dependent.
  var condition: Double {
    guard let first = singular.first, let last = singular.last, last > 0 else { return .infinity }
    return first / last
  }

  /// Directions below this fraction of the largest singular value count as dependent.
  static let dependent = 1e-13

  /// (JᵀJ)⁻¹ and, for each parameter, whether a dependent direction runs through it.
  func inverseNormal() -> (Matrix, unidentified: [Bool]) {
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
  func solve(ignoringBelow threshold: Double = 1e-15) -> [Double] {
    // R = U S Vᵀ, so x = V S⁻¹ Uᵀ qtb with U = R V S⁻¹.
    var x = [Double](repeating: 0, count: p)
    for s in 0..<p where singular[s] > threshold * (singular.first ?? 0) {
      var dot = 0.0
      for i in 0..<p {
        var rv = 0.0
        for k in i..<p { rv += r[i, k] * right[k, s] }
        dot += rv * qtb[i]
      }
      let f = dot / (singular[s] * singular[s])
      for k in 0..<p { x[k] += f * right[k, s] }
    }
    return zip(x, norms).map { $1 > 0 ? $0 / $1 : 0 }
  }

  /// One-sided Jacobi: singular values and right vectors of a small matrix, to full relative accuracy.
  private static func jacobi(_ matrix: Matrix) -> ([Double], Matrix) {
    let p = matrix.size
    var a = matrix
    var v = Matrix(size: p)
    for i in 0..<p { v[i, i] = 1 }
    for _ in 0..<60 {
      var rotated = false
      for i in 0..<p {
        for j in (i + 1)..<max(p, i + 1) {
          var aa = 0.0
          var bb = 0.0
          var ab = 0.0
          for k in 0..<p {
            aa += a[k, i] * a[k, i]
            bb += a[k, j] * a[k, j]
            ab += a[k, i] * a[k, j]
          }
          if abs(ab) <= 1e-16 * (aa * bb).squareRoot() || ab == 0 { continue }
          rotated = true
          let zeta = (bb - aa) / (2 * ab)
          let t = (zeta < 0 ? -1.0 : 1.0) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
          let c = 1 / (1 + t * t).squareRoot()
          let s = c * t
          for k in 0..<p {
            (a[k, i], a[k, j]) = (c * a[k, i] - s * a[k, j], s * a[k, i] + c * a[k, j])
            (v[k, i], v[k, j]) = (c * v[k, i] - s * v[k, j], s * v[k, i] + c * v[k, j])
          }
        }
      }
      if !rotated { break }
    }
    let sizes = (0..<p).map { j in (0..<p).map { a[$0, j] * a[$0, j] }.sum().squareRoot() }
    let order = (0..<p).sorted { sizes[$0] > sizes[$1] }
    var sorted = Matrix(size: p)
    for (new, old) in order.enumerated() { for k in 0..<p { sorted[k, new] = v[k, old] } }
    return (order.map { sizes[$0] }, sorted)
  }
}
