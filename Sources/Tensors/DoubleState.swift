import CKernels

/// The state of a recurrence in Double, `[valueDim][keyDim]`, with the sizes of the sums that it was made by: the naive reference goes
/// through it token by token. The loops are in C, as those of `DoubleVectors`.
public struct DoubleState: Sendable {
  /// Elements of a key.
  public let keyDim: Int
  /// Elements of a value.
  public let valueDim: Int
  /// S.
  public private(set) var values: [Double]
  /// The same sums of absolute terms.
  public private(set) var sizes: [Double]

  /// Of a gradient: what readings added, faded alone.
  private var terms: [Double]

  /// One token, as an update reads it.
  public struct Token: Sendable {
    /// What channels of the key fade by, before the token is added.
    public var decay: [Double]
    /// k.
    public var key: [Double]
    /// v.
    public var value: [Double]
    /// β.
    public var strength: Double
    /// Whether what the state already holds for k is taken from v.
    public var isDelta: Bool

    /// Gathers a token.
    public init(decay: [Double], key: [Double], value: [Double], strength: Double = 1, isDelta: Bool = false)
    {
      (self.decay, self.key, self.value) = (decay, key, value)
      (self.strength, self.isDelta) = (strength, isDelta)
    }
  }

  /// Sums with the sums of their absolute terms.
  public struct Sums: Sendable {
    /// The sums.
    public var values: [Double]
    /// Of absolute terms.
    public var sizes: [Double]

    /// Zeros.
    public init(count: Int) {
      values = [Double](repeating: 0, count: count)
      sizes = values
    }
  }

  /// The gradients of a token.
  public struct TokenGradient: Sendable {
    /// ∂L/∂k.
    public var key: Sums
    /// ∂L/∂v.
    public var value: Sums
    /// ∂L/∂(log decay), by channel.
    public var logDecay: Sums
    /// ∂L/∂β.
    public var strength = Sums(count: 1)
  }

  /// Zeros.
  public init(keyDim: Int, valueDim: Int) {
    (self.keyDim, self.valueDim) = (keyDim, valueDim)
    values = [Double](repeating: 0, count: keyDim * valueDim)
    (sizes, terms) = (values, values)
  }

  /// `S ← S·diag(decay)`, then `S ← S + β(v − [delta] S·k)kᵀ`.
  /// - Precondition: the token has the sizes of the state.
  public mutating func update(_ token: Token) {
    check(token)
    attn_reference_state_step(
      &values, &sizes, token.decay, token.key, token.value, token.strength, token.isDelta ? 1 : 0, keyDim,
      valueDim)
  }

  /// `factor·S·q`.
  /// - Precondition: q has the size of a key.
  public func read(_ query: [Double], times factor: Double) -> Sums {
    precondition(query.count == keyDim)
    var sums = Sums(count: valueDim)
    attn_reference_state_read(values, sizes, query, factor, keyDim, valueDim, &sums.values, &sums.sizes)
    return sums
  }

  /// The way back through `read`: adds to the gradient of this state.
  /// - Parameters:
  ///   - query: q.
  ///   - factor: that of the reading.
  ///   - outputGradient: ∂L/∂(what was read).
  ///   - gradient: ∂L/∂S, added to.
  /// - Returns: ∂L/∂q.
  public func unread(
    _ query: [Double], times factor: Double, outputGradient: Sums, into gradient: inout DoubleState
  ) -> Sums {
    precondition(query.count == keyDim && outputGradient.values.count == valueDim)
    var sums = Sums(count: keyDim)
    attn_reference_state_unread(
      values, sizes, query, outputGradient.values, outputGradient.sizes, factor, keyDim, valueDim,
      &gradient.values, &gradient.sizes, &gradient.terms, &sums.values, &sums.sizes)
    return sums
  }

  /// The way back through the update of a token, of which this is the state before.
  /// - Parameters:
  ///   - token: what was added.
  ///   - gradient: ∂L/∂(the state behind the token); becomes that of this state.
  /// - Returns: the gradients of the token.
  public func back(through token: Token, _ gradient: inout DoubleState) -> TokenGradient {
    check(token)
    var result = TokenGradient(
      key: Sums(count: keyDim), value: Sums(count: valueDim), logDecay: Sums(count: keyDim))
    attn_reference_state_back(
      values, sizes, token.decay, token.key, token.value, token.strength, token.isDelta ? 1 : 0, keyDim,
      valueDim, &gradient.values, &gradient.sizes, &gradient.terms, &result.key.values, &result.key.sizes,
      &result.value.values, &result.value.sizes, &result.logDecay.values, &result.logDecay.sizes,
      &result.strength.values, &result.strength.sizes)
    return result
  }

  private func check(_ token: Token) {
    precondition(
      token.decay.count == keyDim && token.key.count == keyDim && token.value.count == valueDim,
      "a token of another size")
  }
}
