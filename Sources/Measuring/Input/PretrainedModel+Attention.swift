import AttentionCore
import Layers
import Models
import Pretrained

/// One attention of a pass, as its layer asked for it.
public struct HeardAttention {
  /// The layer's name.
  public let layer: String
  /// The variant at the shape of the pass.
  public let variant: any AttentionVariant
  /// What it read, positions included.
  public let inputs: Operands
}

extension PretrainedModel {
  /// What every attention of a pass in evaluation reads, in the order of the walk.
  /// - Parameter input: the tokens.
  /// - Returns: an entry a layer; of a model with cross-attention its entries stand among them.
  /// - Throws: `ConfigurationError` for tokens that do not fit; what attention throws.
  public func attention(_ input: ModelInput) throws -> [HeardAttention] {
    try input.validate(for: model.configuration)
    let recorder = AttentionRecorder()
    var run = model.evaluationRun
    run.observer = recorder
    _ = try model.hidden(input, run)
    return recorder.heard
  }
}

private final class AttentionRecorder: LayerObserver {
  var heard: [HeardAttention] = []

  func attended(_ layer: String, _ variant: any AttentionVariant, _ inputs: Operands) {
    heard.append(HeardAttention(layer: layer, variant: variant, inputs: inputs))
  }
}
