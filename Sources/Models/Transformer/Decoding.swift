import Layers
import Tensors

/// A sequence being generated: what its attention layers keep, and the position of the next token. Its tokens go through the
/// model's one walk; attention alone asks for what came before.
///
/// A model that looks up stored pairs reads its text in segments, as in training: those of a segment are stored when it is full,
/// and unless there is a memory of rows the next one begins at position 0 and sees nothing else of it.
final class Decoding {
  /// What the layers keep.
  private enum Kept {
    /// Keys and values.
    case states(SequenceStates)
    /// The rows that attention read, of which keys and values are made again for every pass.
    case rows(SegmentMemory)
    /// The tokens of the segment, which are read again for every pass.
    case tokens([Int32])
  }

  private let model: TransformerModel
  private let decoder: Stack
  private let memory: Memory?
  private var kept: Kept
  /// Earlier positions that a layer sees; `nil`: all, of the segment where there is a store.
  private let positions: Int?
  private var position = 0
  /// Pairs of full segments.
  private let store: SegmentMemory?
  /// What passes over the segment have left for it, and how many of its tokens were read.
  private var waiting: [Past] = []
  private var place = 0

  /// Starts a sequence; `nil` when the attention of a layer can keep nothing, so that every token needs the whole sequence.
  /// - Parameters:
  ///   - model: whose layers read it.
  ///   - decoder: its main stack.
  ///   - source: what the encoder of an encoder–decoder reads.
  ///   - positions: how many earlier positions a layer sees, as a memory of segments has it; `nil`: all.
  ///   - useCache: whether keys and values are kept, and not the rows of a memory or the tokens of a segment.
  init?(
    _ model: TransformerModel, decoder: Stack, source: [Int32], positions: Int? = nil, useCache: Bool = true
  ) throws {
    (self.model, self.decoder, self.positions) = (model, decoder, positions)
    let configuration = model.configuration
    store =
      configuration.stored == 0
      ? nil
      : SegmentMemory(
        streams: 1, capacity: 0, pairCapacity: configuration.stored,
        keepsPairs: configuration.storedTexts == .keep)
    if let positions, !useCache {
      kept = .rows(try model.segmentMemory(streams: 1, positions: positions))
    } else if useCache, let states = try SequenceStates(of: decoder, in: model.catalog, limit: positions) {
      kept = .states(states)
    } else if store != nil, positions == nil {
      kept = .tokens([])
    } else {
      return nil
    }
    let input = ModelInput(batch: 1, tokens: [], source: source)
    memory = try model.encoded(input, model.evaluationRun)?.memory
  }

  /// Whether keys and values are kept.
  var keepsKeysAndValues: Bool { if case .states = kept { true } else { false } }

  /// Bytes of all that is kept.
  var stateBytes: Int {
    let stored = (store?.byteCount ?? 0) + waiting.reduce(0) { $0 + $1.pairBytes }
    return switch kept {
    case .states(let states): stored + states.byteCount
    case .rows(let memory): stored + memory.byteCount
    case .tokens: stored
    }
  }

  /// Tokens that the next pass may read; `nil`: all that come.
  private var room: Int? {
    let length = model.configuration.maximumLength
    return store != nil ? length - place : positions == nil ? nil : length
  }

  /// Reads tokens and returns the logits after the last.
  /// - Parameters:
  ///   - tokens: at least one.
  ///   - task: the auxiliary task whose head makes them; `nil`: the main task's does.
  func advance(_ tokens: [Int32], for task: String? = nil) throws -> [Float] {
    var rest = tokens[...]
    while let room, rest.count > room {
      _ = try read(Array(rest.prefix(room)))
      rest = rest.dropFirst(room)
    }
    let h = try read(Array(rest))
    let last = h.narrowed(axis: 0, to: h.shape[0] - 1..<h.shape[0])
    return try model.tokenLogits(last, model.evaluationRun, of: task).array()
  }

  /// The last hidden states of tokens, which the layers keep.
  private func read(_ tokens: [Int32]) throws -> Tensor {
    var input = ModelInput(batch: 1, tokens: tokens)
    var run = model.evaluationRun, result: Tensor?
    run.memory = memory
    switch kept {
    case .states(let states):
      (run.decoding, run.first, run.past) = (states, position, store?.past(of: [0]))
      result = try model.hidden(input, run).0
    case .rows(let memory):
      try model.forEachGroup(of: input, after: memory, run) { _, input, run in
        result = try model.hidden(input, run).0
      }
    case .tokens(let earlier):
      input = ModelInput(batch: 1, tokens: earlier + tokens)
      (kept, waiting, run.past) = (.tokens(input.tokens), [], store?.past(of: [0]))
      result = try model.hidden(input, run).0
    }
    position += tokens.count
    place += tokens.count
    if let past = run.past { waiting.append(past) }
    if let store, place == model.configuration.maximumLength { try turn(store) }
    guard let result else { preconditionFailure("one sequence is one group") }
    return result
  }

  /// Stores what a full segment has left, and begins the next.
  private func turn(_ store: SegmentMemory) throws {
    for past in waiting { try store.keep(past, of: [0], model.context) }
    (waiting, place) = ([], 0)
    guard positions == nil else { return }
    position = 0
    switch kept {
    case .states:
      if let fresh = try SequenceStates(of: decoder, in: model.catalog) { kept = .states(fresh) }
    case .tokens: kept = .tokens([])
    case .rows: break
    }
  }
}
