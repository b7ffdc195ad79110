import AttentionCore
import Basics
import Tensors

/// One named parameter, a part of the model's flat array.
public struct ParameterSlot: Hashable, Sendable {
  /// How a parameter starts.
  public enum Initial: Hashable, Sendable {
    /// N(0, σ²).
    case normal(Double)
    /// All the same.
    case constant(Float)
    /// As the parameter that begins at this element of the flat array, which stands before.
    case copy(of: Int)

    /// As an operand that a layer learns starts.
    package init(_ initial: Operand.Initial) {
      switch initial {
      case .constant(let value): self = .constant(value)
      case .normal(let deviation): self = .normal(deviation)
      }
    }
  }
  /// The name in checkpoints, such as `decoder.layers.0.attention.query.weight`.
  public let name: String
  /// Extents; a linear weight is `[output, input]`.
  public let shape: [Int]
  /// The first element in the flat array.
  public let offset: Int
  /// Whether weight decay applies: matrices, not biases and norms.
  public internal(set) var decays: Bool
  /// How it starts.
  public let initial: Initial
  /// Where a training holds its elements; `nil`: anywhere.
  public var bounds: ClosedRange<Float>?
  /// What a training adds to its loss for the mean of its elements.
  public var meanPenalty = 0.0

  /// Elements.
  public var count: Int { shape.reduce(1, *) }
  /// Its elements in the flat array.
  public var range: Range<Int> { offset..<offset + count }

  /// Some rows of it, as a slot of their own.
  package func rows(_ range: Range<Int>) -> ParameterSlot {
    let stride = shape.dropFirst().reduce(1, *)
    return ParameterSlot(
      name: name, shape: [range.count] + shape.dropFirst(), offset: offset + range.lowerBound * stride,
      decays: decays, initial: initial)
  }
}

/// All parameters of a model in one flat array: one buffer for weights, one for gradients, one for each moment.
public struct ParameterLayout: Sendable {
  /// In storage order.
  public private(set) var slots: [ParameterSlot] = []
  /// Elements in all.
  public private(set) var count = 0

  package init() {}

  package mutating func add(
    _ name: String, _ shape: [Int], _ initial: ParameterSlot.Initial, decays: Bool,
    bounds: ClosedRange<Float>? = nil, meanPenalty: Double = 0
  ) -> ParameterSlot {
    let slot = ParameterSlot(
      name: name, shape: shape, offset: count, decays: decays, initial: initial, bounds: bounds,
      meanPenalty: meanPenalty)
    slots.append(slot)
    count += slot.count
    return slot
  }

  /// A parameter that was added before; `nil`: there is none of this name and these extents.
  package func slot(_ name: String, _ shape: [Int]) -> ParameterSlot? {
    slots.first { $0.name == name && $0.shape == shape }
  }

  /// Neighbouring matrices of equal input width, seen as one: q, k and v in one product.
  package func fused(_ parts: [ParameterSlot]) -> ParameterSlot {
    for (first, second) in zip(parts, parts.dropFirst()) {
      precondition(
        first.range.upperBound == second.offset && first.shape.dropFirst() == second.shape.dropFirst(),
        "\(first.name) and \(second.name) are no neighbours")
    }
    let rows = parts.reduce(0) { $0 + $1.shape[0] }
    return ParameterSlot(
      name: parts[0].name, shape: [rows] + parts[0].shape.dropFirst(), offset: parts[0].offset,
      decays: parts[0].decays, initial: parts[0].initial)
  }

  /// Takes weight decay from the parameters whose names fulfil a condition: what nothing is learned of stays as it is.
  package mutating func leaveUndecayed(where condition: (String) -> Bool) {
    for index in slots.indices where condition(slots[index].name) { slots[index].decays = false }
  }

  /// Stretches of the flat array with and without weight decay.
  public var decayRanges: [(range: Range<Int>, decays: Bool)] {
    var ranges: [(range: Range<Int>, decays: Bool)] = []
    for slot in slots {
      if let last = ranges.last, last.decays == slot.decays {
        ranges[ranges.count - 1].range = last.range.lowerBound..<slot.range.upperBound
      } else {
        ranges.append((slot.range, slot.decays))
      }
    }
    return ranges
  }

  /// The initial values under a key: every parameter draws from the child of its own name.
  package func initialValues(key: RandomKey) throws(MemoryLimitExceeded) -> Tensor {
    var values: [Float] = []
    values.reserveCapacity(count)
    for slot in slots {
      switch slot.initial {
      case .constant(let value): values.append(contentsOf: repeatElement(value, count: slot.count))
      case .copy(let offset): values.append(contentsOf: values[offset..<offset + slot.count])
      case .normal(let deviation):
        var random = key(slot.name).generator()
        for _ in 0..<slot.count { values.append(Float(deviation * random.normal())) }
      }
    }
    return try Tensor(values, shape: [count])
  }

  /// The values of another layout's array in this one, by name. A parameter that the other lacks, or has of other extents, takes the value of the
  /// one that it starts as, or that of a fresh model.
  /// - Parameter fresh: the initial values of this layout.
  /// - Throws: `MemoryLimitExceeded`.
  package func values(from other: ParameterLayout, _ array: Tensor, fresh: Tensor) throws(MemoryLimitExceeded)
    -> Tensor
  {
    if slots == other.slots { return array }
    let known = Dictionary(uniqueKeysWithValues: other.slots.map { ($0.name, $0) })
    let given = array.array(), initial = fresh.array()
    var values: [Float] = []
    values.reserveCapacity(count)
    for slot in slots {
      if let former = known[slot.name], former.shape == slot.shape {
        values.append(contentsOf: given[former.range])
      } else if case .copy(let offset) = slot.initial {
        values.append(contentsOf: values[offset..<offset + slot.count])
      } else {
        values.append(contentsOf: initial[slot.range])
      }
    }
    return try Tensor(values, shape: [count])
  }
}

/// The numbers of a model: weights, gradients and buffers (running moments of BatchNorm), each flat.
package final class ModelState {
  package var weights: Tensor
  package var gradients: Tensor
  package var buffers: [Float]
  /// What the loss of a labelled position is expected to be, in nats, from earlier steps; `nil`: nothing is known.
  package var expectedLoss: Double?

  package init(weights: Tensor, buffers: [Float]) throws(MemoryLimitExceeded) {
    self.weights = weights
    gradients = try Tensor(zeros: weights.shape)
    self.buffers = buffers
  }
}
