/// A float32 or bfloat16 array with a shape and strides; by convention `[batch, heads, length, dim]`.
///
/// A tensor is a value: copies share storage until one of them is written. Views (`transposed`, `narrowed`,
/// `reshaped`) share storage too. Storage is 64-byte aligned and counted by a `MemoryLedger` when given one.
///
/// Elements are read and written as float32. A bfloat16 tensor comes from `converted(to:)`, is only read (`array()`,
/// `pinnedPatterns`), and otherwise converted back; its views are as those of float32.
public struct Tensor: Sendable {
  var storage: TensorStorage
  let offset: Int

  /// The extent of every axis.
  public let shape: [Int]
  /// The distance, in elements, between neighbours along every axis.
  public let strides: [Int]

  init(storage: TensorStorage, offset: Int, shape: [Int], strides: [Int]) {
    self.storage = storage
    self.offset = offset
    self.shape = shape
    self.strides = strides
  }

  /// Creates a tensor of zeros, row-major.
  /// - Parameters:
  ///   - shape: extents, none negative.
  ///   - ledger: where the bytes are counted.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(element count).
  public init(zeros shape: [Int], ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) {
    try self.init(shape: shape, zeroed: true, ledger: ledger)
  }

  /// Creates a row-major tensor whose contents are unspecified: for a result that is about to be written whole.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(1).
  public init(uninitialized shape: [Int], ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) {
    try self.init(shape: shape, zeroed: false, ledger: ledger)
  }

  private init(shape: [Int], zeroed: Bool, ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    precondition(shape.allSatisfy { $0 >= 0 }, "a shape has no negative extent: \(shape)")
    let count = shape.reduce(1, *)
    self.init(
      storage: try TensorStorage(count: count, zeroed: zeroed, ledger: ledger), offset: 0, shape: shape,
      strides: Tensor.rowMajorStrides(shape))
  }

  /// Creates a row-major tensor from values.
  /// - Precondition: `values.count` is the product of `shape`.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public init(_ values: [Float], shape: [Int], ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
    try self.init(uninitialized: shape, ledger: ledger)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { storage.base.update(from: base, count: values.count) }
    }
  }

  /// The strides of a row-major array of this shape.
  public static func rowMajorStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    return strides
  }

  /// How the elements are stored.
  public var precision: Precision { storage.precision }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The number of axes.
  public var rank: Int { shape.count }

  /// Whether elements lie one after another in row-major order.
  public var isContiguous: Bool {
    var expected = 1
    for axis in shape.indices.reversed() where shape[axis] != 1 {
      if strides[axis] != expected { return false }
      expected *= shape[axis]
    }
    return true
  }

  mutating func makeUnique() {
    guard !isKnownUniquelyReferenced(&storage) else { return }
    // A copy made behind a write is outside any ledger's limit: refusing it would lose the write.
    let precision = storage.precision
    guard
      let copy = try? TensorStorage(count: storage.count, zeroed: false, precision: precision, ledger: nil)
    else { return }
    copy.raw.copyMemory(from: storage.raw, byteCount: storage.byteCount)
    storage.ledger?.noteCopyBehindWrite()
    storage = copy
  }
}

extension Tensor {
  /// Sets all elements of a row-major tensor.
  /// - Complexity: O(element count).
  public mutating func fill(_ value: Float) {
    precondition(isContiguous, "contiguous elements expected: \(shape), strides \(strides)")
    let count = count
    pinnedForWriting().pointer.update(repeating: value, count: count)
  }

  /// The first element of a row-major tensor for which a condition holds, counted in order.
  /// - Complexity: O(element count).
  public func firstIndex(where condition: (Float) -> Bool) -> Int? {
    precondition(isContiguous, "contiguous elements expected: \(shape), strides \(strides)")
    let view = pinned()
    return (0..<count).first { condition(view[$0]) }
  }

  /// The places of all such elements.
  /// - Complexity: O(element count).
  public func indices(where condition: (Float) -> Bool) -> [Int] {
    precondition(isContiguous, "contiguous elements expected: \(shape), strides \(strides)")
    let view = pinned()
    return (0..<count).filter { condition(view[$0]) }
  }

  /// Whether no element of a row-major tensor is infinite or NaN.
  /// - Complexity: O(element count).
  public var isFinite: Bool { firstIndex { !$0.isFinite } == nil }

  /// A row of a row-major matrix `[rows, width]`.
  public func row(_ row: Int) -> [Float] {
    precondition(rank == 2 && isContiguous && row >= 0 && row < shape[0], "row \(row) of \(shape)")
    return pinned().advanced(by: row * shape[1]).array(count: shape[1])
  }

  /// Writes row-major values over those from a place on.
  /// - Precondition: this tensor is row-major and has room for them.
  /// - Complexity: O(values).
  public mutating func replace(from offset: Int = 0, with values: Tensor) {
    let source = values.contiguous()
    precondition(
      isContiguous && offset >= 0 && offset + source.count <= count,
      "\(values.shape) at \(offset) of \(shape)")
    let (view, given) = (pinnedForWriting(), source.pinned())
    (view.pointer + offset).update(from: given.pointer, count: source.count)
  }

  /// The element at an index, one number per axis.
  /// - Precondition: the index is inside the shape.
  public subscript(_ index: Int...) -> Float {
    get {
      switch precision {
      case .float32: pinned()[position(index)]
      case .bfloat16: BrainPrecision.float(pinnedPatterns()[position(index)])
      }
    }
    set {
      let position = position(index)
      pinnedForWriting()[position] = newValue
    }
  }

  private func position(_ index: [Int]) -> Int {
    precondition(index.count == rank, "index \(index) for shape \(shape)")
    var position = 0
    for axis in index.indices {
      precondition(index[axis] >= 0 && index[axis] < shape[axis], "index \(index) outside shape \(shape)")
      position += index[axis] * strides[axis]
    }
    return position
  }
}
