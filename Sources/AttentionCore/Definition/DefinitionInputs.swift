import Tensors

/// The operands in Double, row-major: what a definition computes from.
///
/// Tensors that a few rows are compared with are up-converted one head at a time, so that gigabytes of float32 do not become
/// twice as many in Double.
public struct DefinitionInputs: Sendable {
  private enum Values: Sendable {
    case wide([Double])
    case narrow([Float])
  }
  private var arrays: [Operand.Name: Values]

  /// Gathers arrays.
  public init(_ arrays: [Operand.Name: [Double]]) { self.arrays = arrays.mapValues { .wide($0) } }

  /// Gathers q, k and v.
  public init(query: [Double], key: [Double], value: [Double]) {
    self.init([.query: query, .key: key, .value: value])
  }

  /// Up-converts operands.
  /// - Parameters:
  ///   - inputs: what the variant reads.
  ///   - lazily: only when their turn comes, and then a head at a time.
  public init(_ inputs: Operands, lazily: Bool = false) {
    arrays = [:]
    for name in inputs.names {
      guard let values = inputs[name]?.array() else { continue }
      arrays[name] = lazily ? .narrow(values) : .wide(values.map { Double($0) })
    }
  }

  /// All elements of an operand; empty when it is not there.
  public subscript(name: Operand.Name) -> [Double] {
    get {
      switch arrays[name] {
      case .wide(let values)?: values
      case .narrow(let values)?: values.map { Double($0) }
      case nil: []
      }
    }
    set { arrays[name] = .wide(newValue) }
  }

  /// Whether an operand is there.
  public func has(_ name: Operand.Name) -> Bool { arrays[name] != nil }

  /// What is there, in the order of the alphabet.
  public var names: [Operand.Name] { arrays.keys.sorted() }

  /// Elements of every operand.
  var sizes: [Operand.Name: Int] {
    arrays.mapValues { values in
      switch values {
      case .wide(let array): array.count
      case .narrow(let array): array.count
      }
    }
  }

  /// A part of an operand: where it lies in an array.
  /// - Precondition: the operand is there.
  public func part(of name: Operand.Name, from start: Int, count: Int) -> DefinitionVector {
    switch arrays[name] {
    case .wide(let array)?: return DefinitionVector(array, from: start, count: count)
    case .narrow(let array)?:
      return DefinitionVector(array[start..<start + count].map { Double($0) }, from: 0, count: count)
    case nil: preconditionFailure("the definition reads \(name), which was not given")
    }
  }

  /// The operands moved along a direction: `x + step · d`, for every operand that the direction has.
  func moved(by step: Double, along direction: DefinitionInputs) -> DefinitionInputs {
    var result = self
    for name in direction.names {
      result[name] = zip(self[name], direction[name]).map { $0 + step * $1 }
    }
    return result
  }

  /// As tensors of the shapes of others, in float32.
  func narrowed(like inputs: Operands) throws(MemoryLimitExceeded) -> Operands {
    var result = inputs
    for name in names {
      guard let tensor = inputs[name] else { continue }
      result[name] = try Tensor(self[name].map { Float($0) }, shape: tensor.shape)
    }
    return result
  }
}
