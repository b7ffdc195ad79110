import Settings
import Tensors

/// A recurrence over the tokens of a sequence, whose past is a matrix of fixed size a key head.
///
/// `S_t = S_{t−1}·diag(a_t) + v_t k_tᵀ`, `o_i = scale · S_p q_i`, p the position of query i; a_t is e to the log decay, one number or one
/// a channel of the key. Rows of q and k
/// go through a map first. With a normaliser, `o_i = S_p q_i / (z_p·q_i + ε)`, z the sum of keys under the same decay: the state of a
/// value that is 1 for every token.
/// - Complexity: O(n·d·d_v) time, O(d·d_v) state.
public struct Recurrence: Hashable, Sendable {
  /// How the state fades before a token is added.
  public enum Decay: Hashable, Sendable {
    /// Not at all.
    case none
    /// By one factor a key head: the natural logarithms, at most 0.
    case fixed([Double])
    /// By data, a factor a key head and token.
    case gated(Gate)
  }

  /// Steps that the data choose: `s = softplus(±(x + b))`, and the state fades by `e^{−s·r}`: all of it by one factor, or every channel
  /// of the key by one of its own.
  public struct Gate: Hashable, Sendable {
    /// What a step is multiplied by to fade, r.
    public enum Rate: Hashable, Sendable {
      /// e to a learned A, `[keyHeads]`.
      case learned(Operand.Name)
      /// A number.
      case fixed(Double)
    }

    /// How strongly a token is written, β.
    public enum Strength: Hashable, Sendable {
      /// By its step.
      case step
      /// By the sigmoid of an operand, `[batch, keyHeads, keys, 1]`.
      case sigmoid(Operand.Name)
      /// By 1.
      case one
    }

    /// x, `[batch, keyHeads, keys, 1]`, or with channels `[…, headDim]`.
    public var input: Operand.Name
    /// r.
    public var rate: Rate
    /// b, `[keyHeads]`, or with channels `[keyHeads, headDim]`.
    public var bias: Operand.Name
    /// β.
    public var strength: Strength
    /// Whether channels fade apart.
    public var isByChannel: Bool
    /// Whether a step is the softplus of −(x + b).
    public var isNegated: Bool

    /// Names its operands.
    /// - Precondition: with channels a strength is no step: there are many.
    public init(
      input: Operand.Name, rate: Rate, bias: Operand.Name, strength: Strength = .step,
      isByChannel: Bool = false, isNegated: Bool = false
    ) {
      precondition(!isByChannel || strength != .step, "one strength of many steps")
      (self.input, self.rate, self.bias, self.strength) = (input, rate, bias, strength)
      (self.isByChannel, self.isNegated) = (isByChannel, isNegated)
    }
  }

  /// What becomes of rows of q and k before anything reads them.
  public enum RowMap: Hashable, Sendable {
    /// Nothing.
    case identity
    /// elu(x) + 1: positive.
    case eluPlusOne
    /// x/√(Σx² + ε).
    case unit(epsilon: Double)
  }

  /// How the state fades.
  public var decay: Decay
  /// What becomes of q and k.
  public var map: RowMap
  /// ε of the normaliser; `nil`: there is none.
  public var normalizer: Double?
  /// The factor on the output.
  public var scale: Double
  /// Whether what the faded state already holds for a key is taken from its value before that is written: the delta rule,
  /// `S ← S + β(v − S k)kᵀ`.
  public var isDelta: Bool
  /// D, `[queryHeads]`: its product with the value at a query's own position is added to the output; `nil`: nothing.
  public var skip: Operand.Name?

  /// Declares a recurrence.
  /// - Parameters:
  ///   - decay: how the state fades before a token is added.
  ///   - map: what becomes of rows of q and k.
  ///   - normalizer: ε of the normaliser; `nil`: there is none.
  ///   - scale: the factor on the output.
  ///   - isDelta: whether what the state holds for a key is taken from its value; with a gate alone.
  ///   - skip: D, whose product with the value at a query's own position is added; `nil`: nothing.
  public init(
    decay: Decay = .none, map: RowMap = .identity, normalizer: Double? = nil, scale: Double = 1,
    isDelta: Bool = false, skip: Operand.Name? = nil
  ) {
    precondition(!isDelta || normalizer == nil, "what the delta rule writes is no part of a mean")
    precondition(normalizer == nil || skip == nil, "what passes by the state is no part of a mean")
    if case .gated(let gate) = decay, gate.isByChannel {
      precondition(normalizer == nil, "a normaliser has no channels")
      precondition((gate.strength == .one) == !isDelta, "with channels a strength is the delta rule's")
    }
    (self.decay, self.map, self.normalizer) = (decay, map, normalizer)
    (self.scale, self.isDelta, self.skip) = (scale, isDelta, skip)
  }

  /// The gate of a decay by data; `nil`: there is none.
  public var gate: Gate? { if case .gated(let gate) = decay { gate } else { nil } }

  /// Whether channels of the key fade apart.
  public var isByChannel: Bool { gate?.isByChannel ?? false }

  /// Refuses a shape without causality: a state that fades has a direction.
  /// - Parameters:
  ///   - shape: the sizes.
  ///   - variant: who refuses.
  /// - Throws: `ConfigurationError`.
  public static func requireCausal(_ shape: AttentionShape, _ variant: String) throws(ConfigurationError) {
    guard shape.isCausal else {
      throw ConfigurationError(
        field: "causal", value: "false",
        allowed: "true with \(variant): its state fades from token to token")
    }
  }
}

/// A variant whose past is a state of fixed size: a decoder keeps that, and no keys.
///
/// Output, way back, cost and definition come from the `Attention` module's scan over chunks; nothing in it has pairs, scores or a
/// log-sum-exp.
public protocol RecurrentVariant: AttentionVariant {
  /// What is computed.
  var recurrence: Recurrence { get }

  /// Computes the rows that follow a state, and the state behind them. Query row r stands behind key row r + (keys − queries) of
  /// the rows given, as in a causal shape.
  /// - Parameters:
  ///   - inputs: the new rows.
  ///   - state: what the rows before them left; `nil`: there were none.
  ///   - context: threads, instruction set and ledger.
  /// - Returns: the result, whose way back takes the state as given, and the state behind all keys.
  /// - Throws: `StateOverflow`, `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(
    _ inputs: Operands, from state: RecurrentState?, in context: ExecutionContext
  ) throws -> (result: Forward, state: RecurrentState)

  /// The same, with a way back through the states too.
  /// - Parameters:
  ///   - inputs: the new rows.
  ///   - state: what the rows before them left; `nil`: there were none.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `StateOverflow`, `MemoryLimitExceeded`, `CancellationRequested`.
  func stretch(
    _ inputs: Operands, from state: RecurrentState?, in context: ExecutionContext
  ) throws -> RecurrentStretch

  /// Takes one token of every sequence along, as a decoder does: the states move on in place, and there is no way back.
  /// - Parameters:
  ///   - state: what the tokens before left, `[batch, keyHeads, state]`; it is copied first where somebody else holds it too.
  ///   - token: one row of everything; the shape has one query and one key and is causal.
  ///   - context: threads, instruction set and ledger.
  /// - Returns: the outputs `[batch, queryHeads, 1, valueDim]`.
  /// - Throws: `StateOverflow`, behind which the state is of no use; `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(d·d_v) a head, whatever the length of the past.
  func advance(
    _ state: inout RecurrentState, by token: Operands, in context: ExecutionContext
  ) throws -> Tensor
}

/// The rows of a recurrence behind a state, and the state behind them.
public struct RecurrentStretch: Sendable {
  /// ∂L/∂(inputs) and ∂L/∂(state before), from ∂L/∂O and ∂L/∂(state behind), which is `nil` where nothing reads it.
  public typealias Backward =
    @Sendable (Tensor, RecurrentState?, ExecutionContext) throws -> (inputs: Operands, before: RecurrentState)

  /// O, and its way back alone.
  public var result: Forward
  /// The state behind all keys.
  public var state: RecurrentState
  /// The way back through both.
  public var backward: Backward

  /// Gathers them.
  public init(result: Forward, state: RecurrentState, backward: @escaping Backward) {
    (self.result, self.state, self.backward) = (result, state, backward)
  }
}

extension RecurrentVariant {
  /// The definition: step by step.
  public func definition(of inputs: Operands) throws -> any Definition {
    RecurrentDefinition(shape: shape, recurrence: recurrence)
  }
}

/// What a recurrence keeps of the past: a matrix for every sequence and key head.
public struct RecurrentState: SequenceState {
  /// `[batch, keyHeads, headDim·valueDim]`, Sᵀ row by row, and with a normaliser headDim more for z; float32.
  public var values: Tensor

  /// Takes a state.
  public init(values: Tensor) { self.values = values }

  /// What there is before the first token: zeros.
  /// - Throws: `MemoryLimitExceeded`.
  public static func empty(
    of shape: AttentionShape, _ recurrence: Recurrence, in context: ExecutionContext
  ) throws -> RecurrentState {
    let size = byteCount(of: shape, recurrence) / (4 * shape.keyHeads)
    return RecurrentState(values: try context.zeros([shape.batch, shape.keyHeads, size]))
  }

  /// Bytes of the matrices and of the normalisers.
  public var byteCount: Int { 4 * values.count }

  /// Bytes of a state of one sequence of a shape, over all key heads.
  /// - Parameters:
  ///   - shape: the sizes.
  ///   - recurrence: whether there is a normaliser.
  /// - Returns: bytes.
  public static func byteCount(of shape: AttentionShape, _ recurrence: Recurrence) -> Int {
    4 * shape.keyHeads * shape.headDim * (shape.valueDim + (recurrence.normalizer == nil ? 0 : 1))
  }
}

/// A row of a recurrence's output that single precision does not hold: it is refused.
public struct StateOverflow: Error, Hashable, Sendable, CustomStringConvertible {
  /// Where the first such row stands.
  public let batch: Int, head: Int, query: Int

  /// Names the row.
  public init(batch: Int, head: Int, query: Int) {
    (self.batch, self.head, self.query) = (batch, head, query)
  }

  /// One line.
  public var description: String {
    "the output of query \(query) (batch \(batch), head \(head)) is a sum that single precision does not hold, "
      + "or an input is no finite number; scale the inputs down"
  }
}

extension RecurrentVariant {
  /// Those of the recurrence's state, of which no operand is a part.
  public func stateBytes(without parts: Set<Operand.Name>) -> Double { cost(of: .decode).stateBytes }
}
