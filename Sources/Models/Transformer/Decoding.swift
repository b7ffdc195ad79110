import Layers
import Tensors

/// A sequence being generated: what its attention layers keep, and the position of the next token. Its tokens go through the
/// model's one walk; attention alone asks for what came before.
final class Decoding {
  /// What the layers keep.
  private enum Kept {
    /// Keys and values.
    case states(SequenceStates)
    /// The rows that attention read, of which keys and values are made again for every pass.
    case rows(SegmentMemory)
  }

  private let model: TransformerModel
  private let memory: Memory?
  private let kept: Kept
  /// Tokens that are read at once; `nil`: all that come.
  private let segment: Int?
  private var position = 0

  /// Starts a sequence; `nil` when the attention of a layer can keep nothing, so that every token needs the whole sequence.
  /// - Parameters:
  ///   - model: whose layers read it.
  ///   - decoder: its main stack.
  ///   - source: what the encoder of an encoder–decoder reads.
  ///   - positions: how many earlier positions a layer sees, as a memory of segments has it; `nil`: all.
  ///   - keepsRows: whether the rows are kept, and not keys and values; of a memory alone.
  init?(
    _ model: TransformerModel, decoder: Stack, source: [Int32], positions: Int? = nil, keepsRows: Bool = false
  ) throws {
    if let positions, keepsRows {
      kept = .rows(try model.segmentMemory(streams: 1, positions: positions))
    } else {
      guard let states = try SequenceStates(of: decoder, in: model.catalog, limit: positions) else {
        return nil
      }
      kept = .states(states)
    }
    self.model = model
    segment = positions == nil ? nil : model.configuration.maximumLength
    let input = ModelInput(batch: 1, tokens: [], source: source)
    memory = try model.encoded(input, model.evaluationRun)?.memory
  }

  /// Whether keys and values are kept.
  var keepsKeysAndValues: Bool { if case .states = kept { true } else { false } }

  /// Bytes of all that is kept.
  var stateBytes: Int {
    switch kept {
    case .states(let states): states.byteCount
    case .rows(let memory): memory.byteCount
    }
  }

  /// Reads tokens and returns the logits after the last.
  func advance(_ tokens: [Int32]) throws -> [Float] {
    var rest = tokens[...]
    while let segment, rest.count > segment {
      _ = try read(Array(rest.prefix(segment)))
      rest = rest.dropFirst(segment)
    }
    let h = try read(Array(rest))
    guard let weight = model.outputWeight else { preconditionFailure("a decoder has an output") }
    let last = h.narrowed(axis: 0, to: rest.count - 1..<rest.count)
    return try model.context.matmul(last, .plain, model.evaluationRun.weight(weight), .transposed).array()
  }

  /// The last hidden states of tokens, which the layers keep.
  private func read(_ tokens: [Int32]) throws -> Tensor {
    let input = ModelInput(batch: 1, tokens: tokens)
    var run = model.evaluationRun, result: Tensor?
    run.memory = memory
    switch kept {
    case .states(let states):
      (run.decoding, run.first) = (states, position)
      result = try model.hidden(input, run).0
    case .rows(let memory):
      try model.forEachGroup(of: input, after: memory, run) { _, input, run in
        result = try model.hidden(input, run).0
      }
    }
    position += tokens.count
    guard let result else { preconditionFailure("one sequence is one group") }
    return result
  }
}
