import Tensors

/// The tensors of one attention call, or their gradients: q, k, v and what else the variant declares, by name.
public struct Operands: Sendable {
  /// q `[batch, queryHeads, queryLength, headDim]`.
  public var query: Tensor
  /// k `[batch, keyHeads, keyLength, headDim]`.
  public var key: Tensor
  /// v `[batch, keyHeads, keyLength, valueDim]`.
  public var value: Tensor
  /// All others.
  public private(set) var others: [Operand.Name: Tensor]
  /// Edges, by the name of the operand.
  public var graphs: [Operand.Name: EdgeList] = [:]

  /// Gathers tensors.
  public init(query: Tensor, key: Tensor, value: Tensor, others: [Operand.Name: Tensor] = [:]) {
    self.query = query
    self.key = key
    self.value = value
    self.others = others
  }

  /// A tensor by name; `nil`: it is not there.
  /// - Precondition: q, k and v are never taken away.
  public subscript(name: Operand.Name) -> Tensor? {
    get {
      switch name {
      case .query: query
      case .key: key
      case .value: value
      default: others[name]
      }
    }
    set {
      guard [.query, .key, .value].contains(name) else {
        others[name] = newValue
        return
      }
      guard let newValue else { preconditionFailure("\(name) cannot be taken away") }
      switch name {
      case .query: query = newValue
      case .key: key = newValue
      default: value = newValue
      }
    }
  }

  /// The names of all tensors: q, k and v, then the others in the order of the alphabet.
  public var names: [Operand.Name] { [.query, .key, .value] + others.keys.sorted() }

  /// Checks q, k and v against a shape.
  /// - Precondition: every shape and precision agrees and every last axis is contiguous.
  public func check(_ shape: AttentionShape) { check(Operand.standard, at: shape) }

  /// Checks the tensors that are there against their declarations.
  /// - Precondition: every shape and precision agrees and every last axis is contiguous.
  public func check(_ declared: [Operand], at shape: AttentionShape) {
    for operand in declared {
      guard let tensor = self[operand.name] else {
        precondition(operand.isOptional || !operand.isStandard, "\(operand.name) is missing")
        continue
      }
      precondition(
        operand.takes(tensor.shape, at: shape),
        "\(operand.name) has shape \(tensor.shape); \(operand.summary(at: shape)) expected")
      precondition(
        tensor.precision == operand.precision(at: shape),
        "\(operand.name) is \(tensor.precision); \(operand.precision(at: shape)) expected")
      let last = tensor.rank - 1
      precondition(
        last < 0 || tensor.shape[last] <= 1 || tensor.strides[last] == 1,
        "\(operand.name): the last axis is not contiguous")
    }
  }

  /// All tensors in a precision; those that have it already, and are left as they lie, are shared.
  /// - Parameters:
  ///   - precision: what they are stored in.
  ///   - declared: which of the others are stored in the shape's precision; they are converted too.
  ///   - ledger: counts the copies; `nil`: nothing counts them.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(element count).
  public func converted(
    to precision: Precision, declared: [Operand] = Operand.standard, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Operands {
    var result = self
    for operand in declared where operand.isStored {
      guard let tensor = self[operand.name], tensor.precision != precision else { continue }
      result[operand.name] = try tensor.converted(to: precision, ledger: ledger)
    }
    return result
  }
}

extension Operand {
  /// Whether it is stored in the precision of the shape, as q, k and v are: what has rows. Parameters and data of other
  /// extents are float32 whatever the shape says.
  public var isStored: Bool {
    if case .projected = source { return true }
    return false
  }

  /// How it is stored.
  public func precision(at shape: AttentionShape) -> Precision { isStored ? shape.precision : .float32 }

  /// Gaussian numbers of its extents, in float32: what it is checked with. One that has bounds lies around its start, and within
  /// them.
  /// - Precondition: all its extents are declared.
  /// - Throws: `MemoryLimitExceeded`.
  public func drawn(
    at shape: AttentionShape, key: RandomKey, standardDeviation: Double = 1, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    if source == .uniform { return try Tensor.uniform(extents(at: shape), key: key, ledger: ledger) }
    guard let bounds, case .learned(.constant(let start)) = source else {
      return try Tensor.normal(
        extents(at: shape), key: key, standardDeviation: standardDeviation, ledger: ledger)
    }
    let spread = (bounds.upperBound - bounds.lowerBound) / 8
    let steps = try Tensor.normal(extents(at: shape), key: key).array()
    return try Tensor(
      steps.map { min(bounds.upperBound, max(bounds.lowerBound, start + spread * $0)) },
      shape: extents(at: shape), ledger: ledger)
  }

  /// What it is measured with: one that has bounds as it starts, since the cost that a variant states is that of its start; others as
  /// they are drawn.
  /// - Parameters:
  ///   - shape: the sizes.
  ///   - key: names the draw.
  ///   - ledger: counts the tensor; `nil`: nothing counts it.
  /// - Precondition: all its extents are declared.
  /// - Throws: `MemoryLimitExceeded`.
  public func measured(
    at shape: AttentionShape, key: RandomKey, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    guard bounds != nil, case .learned(.constant(let start)) = source else {
      return try drawn(at: shape, key: key, ledger: ledger)
    }
    let extents = extents(at: shape)
    return try Tensor(
      [Float](repeating: start, count: extents.reduce(1, *)), shape: extents, ledger: ledger)
  }
}

extension AttentionShape {
  /// The same sizes with inputs in another precision.
  public func with(precision: Precision) -> AttentionShape {
    var shape = self
    shape.precision = precision
    return shape
  }

  /// Bytes of q, k and v.
  public var inputBytes: Double { inputBytes(Operand.standard) }

  /// Bytes of operands as they are stored.
  public func inputBytes(_ operands: [Operand]) -> Double {
    operands.reduce(0) { $0 + $1.count(at: self) * Double($1.precision(at: self).byteCount) }
  }

  /// Bytes of the gradients of operands, which are float32.
  public func gradientBytes(_ operands: [Operand]) -> Double {
    operands.reduce(0) { $0 + ($1.hasGradient ? 4 * $1.count(at: self) : 0) }
  }

  /// Bytes of the float32 copies that a pass makes of bfloat16 inputs when it computes from float32; 0 of float32 ones.
  public var upconvertedBytes: Double { precision == .float32 ? 0 : 2 * inputBytes }
}
