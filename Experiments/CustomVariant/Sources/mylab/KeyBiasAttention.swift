import Attention
import AttentionCore
import Tensors

/// Full attention with a bias by key: `s_ij = scale · q_i·k_j + w_h·f_j`.
///
/// f_j is a feature of the key, w_h a vector that every head learns. Both are declared, and nothing else is said of them
/// outside this file: a layer makes f by a linear map and w is its parameter (`{layer}.feature.weight`,
/// `{layer}.bias_weight` in a checkpoint); `mylab apply key-bias --in feature=f.npy --in bias_weight=w.npy
/// --gradient bias_weight=dw.npy` takes them from files; `measure` draws them; `check` compares their gradients with the
/// definition's and with difference quotients.
///
/// The bias needs no kernel: with `q' = [scale · q, w_h]` and `k' = [k, f]` it is a part of the product `q'·k'`.
struct KeyBiasAttention: SoftmaxVariant {
  struct Configuration: VariantConfiguration {
    var width = 4

    static let parameters: [Parameter<Self>] = [
      .integer("width", \.width, in: 1...64, help: "Elements of a key's feature")
    ]
    static var samples: [Self] {
      var narrow = Configuration()
      narrow.width = 1
      return [narrow]
    }

    /// Every later query sees every key.
    func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
  }

  static let card = VariantCard(
    id: "key-bias", title: "Full attention with a bias by key", paper: "an example",
    idea: "Every query sees every key; a learned vector weighs a feature of the key.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d + wₕ·fⱼ) vⱼ")

  static let feature: Operand.Name = "feature"
  static let weight: Operand.Name = "bias_weight"

  static func operands(_ configuration: Configuration) -> [Operand] {
    Operand.standard + [
      Operand(
        weight, [.queryHeads, .fixed(configuration.width)], .learned(.constant(0)),
        help: "what a head makes of the feature"),
      Operand(
        feature, [.batch, .keyHeads, .keys, .fixed(configuration.width)], .projected(like: nil),
        help: "a feature of every key"),
    ]
  }

  let configuration: Configuration
  let shape: AttentionShape
  private let full: FullAttention

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    full = try FullAttention(.init(), for: shape, key: key)
  }

  var planBytes: Int { full.planBytes }

  func pattern(for inputs: Operands, in context: ExecutionContext) -> TilePattern { full.pattern }

  func definition(of inputs: Operands) throws -> any Definition {
    let factor = scale
    return SoftmaxDefinition(
      shape: shape, operands: operands,
      terms: { _ in
        [
          .product(.query, .key, factor: factor), .product(Self.weight, Self.feature, factor: 1),
        ]
      }, multiplicity: { full.multiplicity(batch: $0, head: $1, query: $2, key: $3) })
  }

  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    let (dim, width) = (shape.headDim, configuration.width)
    var longer = shape
    longer.headDim = dim + width
    let joined = Operands(
      query: try joinedQuery(inputs, context), key: try joinedKey(inputs, context), value: inputs.value)
    let forward = try Engine.attend(joined, shape: longer, scale: 1, pattern: full.pattern, in: context)
    return forward.turningBack { found, context in
      let factor = Float(scale)
      let dQuery = found.query.narrowed(axis: 3, to: 0..<dim).array().map { $0 * factor }
      var gradient = Operands(
        query: try Tensor(dQuery, shape: shape.queryShape, ledger: context.ledger),
        key: try Tensor(
          found.key.narrowed(axis: 3, to: 0..<dim).array(), shape: shape.keyShape, ledger: context.ledger),
        value: found.value)
      let dFeature = found.key.narrowed(axis: 3, to: dim..<dim + width)
      gradient[Self.feature] = try Tensor(dFeature.array(), shape: dFeature.shape, ledger: context.ledger)
      gradient[Self.weight] = try summed(found.query.narrowed(axis: 3, to: dim..<dim + width), context)
      return gradient
    }
  }

  /// `[scale · q, w]` for every row.
  private func joinedQuery(_ inputs: Operands, _ context: ExecutionContext) throws -> Tensor {
    let (dim, width, factor) = (shape.headDim, configuration.width, Float(scale))
    let query = inputs.query.array(), weights = inputs[Self.weight]?.array() ?? []
    var values: [Float] = []
    values.reserveCapacity(query.count / dim * (dim + width))
    for row in 0..<query.count / dim {
      let head = row / shape.queryLength % shape.queryHeads
      for t in row * dim..<(row + 1) * dim { values.append(query[t] * factor) }
      values += weights[head * width..<(head + 1) * width]
    }
    return try Tensor(
      values, shape: Array(shape.queryShape.dropLast()) + [dim + width], ledger: context.ledger)
  }

  /// `[k, f]` for every key.
  private func joinedKey(_ inputs: Operands, _ context: ExecutionContext) throws -> Tensor {
    let (dim, width) = (shape.headDim, configuration.width)
    let key = inputs.key.array(), features = inputs[Self.feature]?.array() ?? []
    var values: [Float] = []
    values.reserveCapacity(key.count / dim * (dim + width))
    for row in 0..<key.count / dim {
      values += key[row * dim..<(row + 1) * dim]
      values += features[row * width..<(row + 1) * width]
    }
    return try Tensor(
      values, shape: Array(shape.keyShape.dropLast()) + [dim + width], ledger: context.ledger)
  }

  /// The sum over sequences and rows, `[heads, width]`.
  private func summed(_ gradient: Tensor, _ context: ExecutionContext) throws -> Tensor {
    let width = configuration.width, values = gradient.array()
    var sums = [Double](repeating: 0, count: shape.queryHeads * width)
    for row in 0..<values.count / width {
      let head = row / shape.queryLength % shape.queryHeads
      for t in 0..<width { sums[head * width + t] += Double(values[row * width + t]) }
    }
    return try Tensor(sums.map { Float($0) }, shape: [shape.queryHeads, width], ledger: context.ledger)
  }

  /// That of full attention with longer queries and keys, which are made anew.
  func cost(of pass: PassKind) -> Cost {
    var cost = full.cost(of: pass)
    let width = Double(configuration.width)
    cost.flops += 2 * (pass == .backward ? 3 : 1) * width * (cost.neededPairs ?? 0)
    cost.inputOutputBytes = Cost.inputOutputBytes(of: pass, shape: shape, operands: operands)
    let rows = Double(shape.batch * (shape.queryHeads * shape.queryLength + shape.keyHeads * shape.keyLength))
    cost.workspaceBytes += 4 * rows * (Double(shape.headDim) + width) * (pass == .backward ? 2 : 1)
    cost.stateBytes += 4 * Double(shape.keyHeads * shape.keyLength) * width
    return cost
  }
}
