import ArrayFiles
import AttentionCore
import Layers
import Models
import Tensors

extension PretrainedModel {
  /// What a pass in evaluation went through.
  struct Trace {
    /// The input of the first block and the output of every block, each `[rows, width]`.
    var states: [Tensor]
    /// What every attention sublayer read (after its norm, where the norm comes first), `[rows, width]`.
    var attentionInputs: [Tensor]
    /// What it gave back, before the residual sum, `[rows, width]`.
    var attentionOutputs: [Tensor]
    /// What every attention read, with its log-sum-exp; `nil` for one that gives none.
    var passes: [KeptMass.Pass?]
    /// After the last norm, `[rows, width]`.
    var final: Tensor
    /// `[rows, vocabulary]`, or `[batch, classes]`; `nil` when the checkpoint cannot predict.
    var logits: Tensor?
  }

  /// The same weights with other attention.
  /// - Throws: `ConfigurationError`.
  public func replacingAttention(_ attention: String) throws -> PretrainedModel {
    PretrainedModel(
      model: try model.replacingAttention(attention), family: family, head: head, predicts: predicts,
      paddingToken: paddingToken, unused: unused, ignored: ignored)
  }

  private init(
    model: TransformerModel, family: String, head: MaskedLanguageHead?, predicts: Bool, paddingToken: Int32?,
    unused: [String], ignored: [String]
  ) {
    (self.model, self.family, self.head, self.predicts, self.unused) = (model, family, head, predicts, unused)
    self.ignored = ignored
    self.paddingToken = paddingToken
  }

  /// The logits `[batch, length, vocabulary]`, or `[batch, classes]` of a classifier.
  /// - Throws: `ConfigurationError` for tokens that do not fit; what attention throws.
  /// - Precondition: the checkpoint predicts, or classifies.
  public func logits(_ input: ModelInput) throws -> Tensor {
    guard head != nil else { return try model.logits(input) }
    guard let logits = try trace(input).logits else { preconditionFailure("a head makes logits") }
    return logits.reshaped([input.batch, input.length, model.configuration.vocabulary])
  }

  /// The loss over counted targets.
  /// - Throws: as `logits`.
  public func loss(_ input: ModelInput) throws -> CrossEntropy {
    guard head != nil else { return try model.loss(input) }
    let vocabulary = model.configuration.vocabulary
    var logits = try logits(input).reshaped([input.tokens.count, vocabulary]).contiguous()
    return try model.context.crossEntropy(&logits, targets: input.targets, gradientScale: 0)
  }

  /// Whether gradients of the loss are computed: not through the head of a masked language model.
  public var hasGradients: Bool { head == nil }

  /// Runs the model and keeps what passes between the blocks.
  /// - Throws: `ConfigurationError` for tokens that do not fit; what attention throws.
  func trace(_ input: ModelInput) throws -> Trace {
    try input.validate(for: model.configuration)
    _ = try stack()
    let recorder = Recorder()
    var run = model.evaluationRun
    run.observer = recorder
    let (x, walk, _) = try model.hidden(input, run)
    var logits: Tensor?
    if let head, let outputWeight = model.outputWeight {
      logits = try head.logits(x, output: run.weight(outputWeight), model.context)
    } else if predicts || model.configuration.classes > 0 {
      logits = try model.predictions(from: x, walk, of: input.task)
    }
    return Trace(
      states: recorder.states, attentionInputs: recorder.attention.map(\.read),
      attentionOutputs: recorder.attention.map(\.gave), passes: recorder.passes, final: x, logits: logits)
  }

  /// The stack whose attention is replaced.
  /// - Throws: `SafetensorsError`.
  private func stack() throws(SafetensorsError) -> Stack {
    switch model.singleStack {
    case .success(let stack): return stack
    case .failure(let missing):
      throw SafetensorsError(path: "model", problem: "\(missing.what): no single stack to swap attention in")
    }
  }

  /// Keeps what it hears.
  private final class Recorder: LayerObserver {
    var states: [Tensor] = []
    var attention: [(read: Tensor, gave: Tensor)] = []
    var passes: [KeptMass.Pass?] = []

    func branch(_ sublayer: Sublayer, read: Tensor, gave: Tensor) {
      if case .attention = sublayer.function { attention.append((read, gave)) }
    }
    func attended(_ plan: any AttentionVariant, reading inputs: Operands, lse: Tensor?) {
      passes.append(lse.map { KeptMass.Pass(plan, inputs, lse: $0) })
    }
    func stream(_ x: Tensor) { states.append(x) }
  }

  /// What every attention sublayer gives for inputs of another model's trace: its own error, apart from the errors
  /// of the layers below; and what the attention in it read.
  func attentionOutputs(for trace: Trace, _ input: ModelInput) throws -> (
    outputs: [Tensor], passes: [KeptMass.Pass?]
  ) {
    let recorder = Recorder()
    var run = model.evaluationRun.over(batch: input.batch, lengths: input.lengths)
    run.observer = recorder
    let attention = try stack().sublayers.filter {
      if case .attention = $0.function { true } else { false }
    }
    let outputs = try zip(attention, trace.attentionInputs).map { try $0.layer.forward($1, run).output }
    return (outputs, recorder.passes)
  }
}
