import Layers
import Models
import Settings
import Tensors

extension TransformerModel {
  /// Takes the weights and running moments of another model: what a training goes on from, or what a linear probe reads.
  ///
  /// What makes predictions (classifier, pooling, output, the heads of a pretext and of auxiliary tasks) is taken where the other has it in the same shape, and
  /// stays as it was drawn elsewhere; the classifier of a model with pretext frozen stays so in any case. All else must be there.
  /// - Parameters:
  ///   - other: the model whose weights are taken.
  ///   - path: where it was read.
  /// - Throws: `ConfigurationError` for the field `start` that names the first parameter which does not fit; nothing is changed then.
  public func start(from other: TransformerModel, at path: String) throws(ConfigurationError) {
    func refuse(_ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "start", value: path, allowed: allowed)
    }
    let known = Dictionary(uniqueKeysWithValues: other.layout.slots.map { ($0.name, $0) })
    let isProbe = configuration.pretext.kind == .frozen
    var taken: [(slot: ParameterSlot, source: ParameterSlot)] = []
    for slot in layout.slots {
      let isHead = ["classifier.", "pooling", "pretext.", "output.", "heads."].contains {
        slot.name.hasPrefix($0)
      }
      let source = known[slot.name]
      if let source, source.shape == slot.shape {
        if !(isProbe && slot.name.hasPrefix("classifier.")) { taken.append((slot, source)) }
      } else if !isHead {
        throw refuse(
          source.map { "a model whose \(slot.name) is \(slot.shape), as here; there it is \($0.shape)" }
            ?? "a model of the same layers; \(slot.name) is missing there")
      }
    }
    let moments = Dictionary(uniqueKeysWithValues: other.buffers.map { ($0.name, $0) })
    for buffer in buffers where moments[buffer.name]?.count != buffer.count {
      throw refuse("a model of the same layers; \(buffer.name) is missing there, or of another size")
    }
    for (slot, source) in taken {
      state.weights.replace(
        from: slot.offset, with: other.state.weights.narrowed(axis: 0, to: source.range))
    }
    for buffer in buffers {
      guard let source = moments[buffer.name] else { continue }
      state.buffers.replaceSubrange(
        buffer.offset..<buffer.offset + buffer.count,
        with: other.state.buffers[source.offset..<source.offset + source.count])
    }
  }
}
