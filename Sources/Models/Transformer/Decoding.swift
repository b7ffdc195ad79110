import Layers
import Tensors

/// A sequence being generated: the states of its attention layers, and the position of the next token. Its tokens go through
/// the model's one walk; attention alone asks for what came before.
final class Decoding {
  private let model: TransformerModel
  private let memory: Memory?
  private let states: SequenceStates
  private var position = 0

  /// Starts a sequence; `nil` when the attention of a layer can keep nothing, so that every token needs the whole sequence.
  init?(_ model: TransformerModel, decoder: Stack, source: [Int32]) throws {
    guard let states = try SequenceStates(of: decoder, in: model.catalog) else { return nil }
    (self.model, self.states) = (model, states)
    let input = ModelInput(batch: 1, tokens: [], source: source)
    memory = try model.encoded(input, model.evaluationRun)?.memory
  }

  /// Bytes of all states.
  var stateBytes: Int { states.byteCount }

  /// Reads tokens and returns the logits after the last.
  func advance(_ tokens: [Int32]) throws -> [Float] {
    var run = model.evaluationRun
    (run.decoding, run.memory, run.first) = (states, memory, position)
    let (h, _, _) = try model.hidden(ModelInput(batch: 1, tokens: tokens), run)
    position += tokens.count
    guard let weight = model.outputWeight else { preconditionFailure("a decoder has an output") }
    let last = h.narrowed(axis: 0, to: tokens.count - 1..<tokens.count)
    return try run.context.matmul(last, .plain, run.weight(weight), .transposed).array()
  }
}
