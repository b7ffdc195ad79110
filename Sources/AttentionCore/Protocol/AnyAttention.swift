import Basics
import Settings
import Tensors

/// A configured variant of any type.
public struct AnyAttention: Sendable {
  /// The variant.
  public let base: any AttentionVariant

  /// Wraps a variant.
  public init(_ base: any AttentionVariant) { self.base = base }

  /// Configures a variant type by settings.
  /// - Throws: `ConfigurationError`.
  public static func make(
    _ type: any AttentionVariant.Type, settings: [String: ParameterValue], shape: AttentionShape,
    key: RandomKey
  ) throws(ConfigurationError) -> AnyAttention {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> AnyAttention {
      try shape.validate()
      guard V.precisions.contains(shape.precision) else {
        throw ConfigurationError(
          field: "precision", value: "\(shape.precision)",
          allowed: V.precisions.map(\.rawValue).joined(separator: " or ") + " with \(V.card.id)")
      }
      let configuration = try V.Configuration(settings: settings)
      try configuration.validate(for: shape)
      return AnyAttention(try V(configuration, for: shape, key: key))
    }
    return try open(type)
  }

  /// What the variant is.
  public var card: VariantCard { type(of: base).card }
  /// The sizes planned for.
  public var shape: AttentionShape { base.shape }
  /// `name=value` of all parameters.
  public var configurationSummary: String {
    func open<V: AttentionVariant>(_ variant: V) -> String { variant.configuration.summary }
    return open(base)
  }
  /// Bytes that the plan keeps.
  public var planBytes: Int { base.planBytes }
  /// Rows of q that read `QKV.global` when the inputs have it, rising.
  public var globalRows: [Int] { base.globalRows }
  /// The closed-form cost of a pass.
  public func cost(of pass: PassKind) -> Cost { base.cost(of: pass) }

  /// Computes output and LSE.
  /// - Throws: `ScoreOverflow` where a row's log-sum-exp is NaN or +∞; what the variant throws.
  public func forward(_ inputs: QKV, in context: ExecutionContext) throws -> AnyForward {
    func open<V: AttentionVariant>(_ variant: V) throws -> AnyForward {
      let result = try variant.forward(inputs, in: context)
      try refuseOverflow(result.lse, inputs)
      return AnyForward(output: result.output, lse: result.lse) { gradient, context in
        try variant.backward(gradient, inputs, result, in: context)
      }
    }
    return try open(base)
  }

  /// The definition of the result.
  public func oracle(for inputs: QKV) throws -> Oracle { try base.oracle(for: inputs) }
}

/// The result of a forward pass of any variant, able to run its own backward pass.
public struct AnyForward: Sendable {
  /// `[batch, queryHeads, queryLength, valueDim]`.
  public let output: Tensor
  /// `[batch, queryHeads, queryLength]`.
  public let lse: Tensor
  private let pullback: @Sendable (Tensor, ExecutionContext) throws -> QKVGradient

  init(
    output: Tensor, lse: Tensor,
    pullback: @escaping @Sendable (Tensor, ExecutionContext) throws -> QKVGradient
  ) {
    self.output = output
    self.lse = lse
    self.pullback = pullback
  }

  /// The gradients of q, k and v from the gradient of the output.
  public func backward(_ outputGradient: Tensor, in context: ExecutionContext) throws -> QKVGradient {
    try pullback(outputGradient, context)
  }
}
