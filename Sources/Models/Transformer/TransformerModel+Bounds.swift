import Layers
import Tensors

extension TransformerModel {
  /// Adds the gradients of what a training adds to its loss for learned numbers: `penalty · mean`, so `penalty / count` an element.
  package func addPenalties() {
    for slot in layout.slots where slot.meanPenalty != 0 {
      context.add(Float(slot.meanPenalty / Double(slot.count)), to: &state.gradients, in: slot.range)
    }
  }

  /// Clamps learned numbers that have bounds.
  package func holdInBounds() {
    for slot in layout.slots {
      guard let bounds = slot.bounds else { continue }
      context.clamp(&state.weights, in: slot.range, to: bounds)
    }
  }

  /// The mean of all learned numbers that have bounds, such as the spans of heads as shares of the longest; `nil`: there are none.
  /// - Complexity: O(parameters).
  public var boundedMean: Double? {
    let ranges = layout.slots.filter { $0.bounds != nil }.map(\.range)
    guard !ranges.isEmpty else { return nil }
    let weights = state.weights.array()
    let sum = ranges.reduce(0.0) { $0 + weights[$1].reduce(0.0) { $0 + Double($1) } }
    return sum / Double(ranges.reduce(0) { $0 + $1.count })
  }
}
