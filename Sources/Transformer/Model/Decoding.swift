import AttentionCore
import Tensors

/// A sequence being generated: the states of its attention layers, and the position of the next token. Its tokens go through
/// the model's one walk; attention alone asks it for what came before.
final class Decoding {
  private let model: TransformerModel
  private let memory: Memory?
  /// By layer.
  private var states: [String: KeyValueState] = [:]
  /// Keys and values of the memory, by cross-attention layer.
  private var crossed: [String: (key: Tensor, value: Tensor)] = [:]
  private var position = 0

  /// Starts a sequence; `nil` when the attention of a layer can keep nothing, so that every token needs the whole sequence.
  init?(_ model: TransformerModel, decoder: Stack, source: [Int32]) throws {
    self.model = model
    for sublayer in decoder.sublayers {
      guard case .attention(let layer) = sublayer.function, !layer.isCross else { continue }
      guard let state = try model.catalog.state(of: layer.attention) else { return nil }
      states[layer.name] = state
    }
    let input = ModelInput(batch: 1, tokens: [], source: source)
    memory = try model.encoded(input, model.evaluationRun)?.memory
  }

  /// Bytes of all states.
  var stateBytes: Int { states.values.reduce(0) { $0 + $1.byteCount } }

  /// Reads tokens and returns the logits after the last.
  func advance(_ tokens: [Int32]) throws -> [Float] {
    var run = model.evaluationRun
    (run.decoding, run.memory, run.first) = (self, memory, position)
    let (h, _) = try model.hidden(ModelInput(batch: 1, tokens: tokens), run)
    position += tokens.count
    guard let weight = model.outputWeight else { preconditionFailure("a decoder has an output") }
    let last = h.narrowed(axis: 0, to: tokens.count - 1..<tokens.count)
    return try run.context.matmul(last, .plain, run.weight(weight), .transposed).array()
  }

  /// Adds the rows of new positions to the state of a layer; returns all rows that it holds.
  func append(
    _ rows: Tensor, to name: Operand.Name, of layer: AttentionLayer, in context: ExecutionContext
  ) throws -> Tensor {
    try states[layer.name]?.append(rows, to: name, in: context)
    guard let all = states[layer.name]?[name] else { preconditionFailure("\(layer.name) has no state") }
    return all
  }

  /// Moves the state of a layer on behind new positions.
  func advance(_ layer: AttentionLayer, by positions: Int) throws {
    try states[layer.name]?.advance(by: positions)
  }

  /// Keys and values of the memory, made once.
  func crossed(
    by layer: AttentionLayer, _ make: () throws -> (key: Tensor, value: Tensor)
  ) rethrows -> (key: Tensor, value: Tensor) {
    if let made = crossed[layer.name] { return made }
    let made = try make()
    crossed[layer.name] = made
    return made
  }
}
