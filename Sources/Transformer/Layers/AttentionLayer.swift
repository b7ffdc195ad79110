import AttentionCore
import RealModule
import Settings
import Tensors

/// Multi-head attention: `y = concat_h(attend(x W_Qᵀ, m W_Kᵀ, m W_Vᵀ)_h)·W_Oᵀ`, m = x, or the memory in cross-attention.
///
/// x `[batch·length, width]`; W_Q `[heads·d, width]`, W_K and W_V `[keyHeads·d, width]`, W_O `[width, heads·d]`,
/// d = width/heads. Any variant of the catalogue computes the middle. RoPE rotates q and k by their positions.
///
/// ALiBi adds `−slope_h·(i − j)` to the score. In causal attention `−slope·i` is the same for all keys of a row and
/// cancels in the softmax, so one more element of q (`slope/scale`) and of k (`j`) gives the bias under any variant.
struct AttentionLayer: Sendable {
  let name: String
  let attention: LayerAttention
  let heads: Int
  let keyHeads: Int
  let dim: Int
  let isCausal: Bool
  let isCross: Bool
  let position: ModelConfiguration.Position
  /// q, k and v of x; in cross-attention q alone.
  let input: Linear
  /// k and v of the memory in cross-attention.
  let memoryInput: Linear?
  let output: Linear
  /// What makes the operands of the variant's own that have rows: of q, then of k and v.
  let projected: [ProjectedOperands]
  /// Its parameters: operands that are the same for every input.
  let learned: [(operand: Operand, slot: ParameterSlot)]
  /// The last position whose row reads an operand of the variant's own; `nil`: there is no last one.
  let lastReader: @Sendable (Operand.Name) -> Int?

  struct Saved {
    let x: Tensor
    let memory: Tensor?
    let forward: Forward
    let merged: Tensor
    let batch: Int
    let rotary: RotaryTable?
    let projected: [ProjectedOperands.Saved?]
  }

  init(
    _ name: String, _ configuration: ModelConfiguration, attention: LayerAttention, isCausal: Bool,
    isCross: Bool, operands: LayerOperands = .none, gain: Double, in layout: inout ParameterLayout
  ) {
    let width = configuration.width, bias = configuration.bias
    (self.name, self.attention, self.isCausal, self.isCross) = (name, attention, isCausal, isCross)
    heads = configuration.heads
    keyHeads = configuration.effectiveKeyHeads
    dim = configuration.headDim
    position = isCross ? .none : configuration.position
    let query = (name: name + ".query", output: heads * dim)
    let keyValue = [
      (name: name + ".key", output: keyHeads * dim), (name: name + ".value", output: keyHeads * dim),
    ]
    input = Linear(isCross ? [query] : [query] + keyValue, from: width, bias: bias, in: &layout)
    memoryInput = isCross ? Linear(keyValue, from: width, bias: bias, in: &layout) : nil
    output = Linear(name + ".output", from: heads * dim, to: width, bias: bias, gain: gain, in: &layout)
    var projected: [ProjectedOperands] = []
    for ofQueries in [true, false] {
      let group = ProjectedOperands(
        operands.declared, ofQueries: ofQueries, layer: name, configuration, copying: input, in: &layout)
      if let group { projected.append(group) }
    }
    self.projected = projected
    learned = operands.declared.compactMap { operand in
      guard case .learned(let initial) = operand.source else { return nil }
      let slot = layout.add(
        "\(name).\(operand.name)", configuration.extents(of: operand), .init(initial), decays: false)
      return (operand, slot)
    }
    lastReader = operands.lastReader
  }

  /// The rotation of `count` positions from `first`, for layers that have one.
  func rotary(first: Int, count: Int, _ run: LayerRun) throws -> RotaryTable? {
    switch position {
    case .rope: try run.rotary(.half, dim: dim, first: first, count: count)
    case .ropeInterleaved: try run.rotary(.interleaved, dim: dim, first: first, count: count)
    default: nil
    }
  }

  /// The slope of a head: 2^(−8h/H) for a power of two, else those of the next lower power and every other one of the
  /// next higher (Press et al., 2022).
  static func slopes(heads: Int) -> [Float] {
    func powers(_ count: Int) -> [Double] { (1...count).map { Double.exp2(-8 * Double($0) / Double(count)) } }
    var lower = 1
    while lower * 2 <= heads { lower *= 2 }
    let extra = stride(from: 0, to: 2 * (heads - lower), by: 2).map { powers(2 * lower)[$0] }
    return (powers(lower) + extra).map { Float($0) }
  }

  /// The sizes of one call.
  func shape(batch: Int, queries: Int, keys: Int, keyLengths: [Int]?) throws -> AttentionShape {
    try AttentionShape(
      batch: batch, queryHeads: heads, keyHeads: keyHeads, queryLength: queries, keyLength: keys,
      headDim: position == .alibi ? dim + 1 : dim, valueDim: dim, isCausal: isCausal, keyLengths: keyLengths,
      scale: 1 / Double(dim).squareRoot())
  }

  /// y, with a residual added.
  func forward(
    _ x: Tensor, memory: Tensor?, batch: Int, keyLengths: [Int]?, adding residual: Tensor? = nil,
    _ run: LayerRun
  ) throws -> (Tensor, Saved) {
    let context = run.context
    let length = x.shape[0] / batch
    let rotary = try rotary(first: 0, count: length, run)
    let projected = try input.forward(x, run)
    let source =
      try memoryInput.flatMap { layer in try memory.map { try layer.forward($0, run) } } ?? projected
    let query = try query(projected, batch: batch, rotary: rotary, run)
    let (key, value) = try keyValue(
      source, column: isCross ? 0 : heads * dim, batch: batch, rotary: rotary, run)
    let shape = try shape(batch: batch, queries: length, keys: key.shape[2], keyLengths: keyLengths)
    let plan = try run.planner.plan(attention, layer: name, shape: shape)
    var inputs = Operands(query: query, key: key, value: value)
    let own = try addOwn(to: &inputs, of: x, plan, batch: batch, rotary: rotary, run)
    let forward = try plan.attend(inputs, in: run.context)
    var merged = try context.empty([x.shape[0], heads * dim])
    context.mergeHeads(forward.output, into: &merged)
    let saved = Saved(
      x: x, memory: memory, forward: forward, merged: merged, batch: batch, rotary: rotary, projected: own)
    return (try output.forward(merged, adding: residual, run), saved)
  }

  /// Adds the operands of the variant's own; returns, for every group of them, what backward needs (`nil`: no row reads it).
  private func addOwn(
    to inputs: inout Operands, of x: Tensor, _ plan: any AttentionVariant, batch: Int, rotary: RotaryTable?,
    _ run: LayerRun
  ) throws -> [ProjectedOperands.Saved?] {
    for (operand, slot) in learned { inputs[operand.name] = run.weight(slot) }
    var all: [ProjectedOperands.Saved?] = []
    for group in projected {
      let rows = group.rows(of: plan)
      guard rows?.isEmpty != true else {
        all.append(nil)
        continue
      }
      let (product, saved) = try group.product(x, rows: rows, run)
      for part in group.parts {
        inputs[part.operand.name] = try group.operand(
          part, of: product, layer: self, batch: batch, rotary: rotary, run)
      }
      all.append(saved)
    }
    return all
  }

  /// The gradients of x and, in cross-attention, of the memory.
  func backward(_ dy: Tensor, _ saved: Saved, _ run: LayerRun) throws -> (x: Tensor, memory: Tensor?) {
    let context = run.context
    let dMerged = try output.backward(dy, x: saved.merged, run)
    let dOutput = try context.splitHeads(dMerged, batch: saved.batch, heads: heads, dim: dim)
    let gradient = try saved.forward.backward(dOutput, in: run.context)
    var dProjected = try context.empty([saved.x.shape[0], input.weight.shape[0]])
    mergeQuery(gradient.query, into: &dProjected, rotary: saved.rotary, context)
    for (operand, slot) in learned {
      guard let d = gradient[operand.name] else { preconditionFailure("no gradient of \(operand.name)") }
      context.accumulate(d.reshaped([slot.count]), into: &run.state.gradients, at: slot.offset)
    }
    guard let memoryInput, let memory = saved.memory else {
      mergeKeyValue(
        gradient.key, gradient.value, into: &dProjected, column: heads * dim, rotary: saved.rotary, context)
      var dx = try input.backward(dProjected, x: saved.x, run)
      for (group, kept) in zip(projected, saved.projected) {
        guard let kept else { continue }
        try group.backward(gradient, kept, rotary: saved.rotary, into: &dx, run)
      }
      return (dx, nil)
    }
    var dSource = try context.empty([memory.shape[0], memoryInput.weight.shape[0]])
    mergeKeyValue(gradient.key, gradient.value, into: &dSource, rotary: nil, context)
    return (
      try input.backward(dProjected, x: saved.x, run), try memoryInput.backward(dSource, x: memory, run)
    )
  }
}

extension LayerRun {
  /// A rotation table, made once for each length.
  func rotary(_ convention: RotaryTable.Convention, dim: Int, first: Int, count: Int) throws -> RotaryTable {
    try planner.rotary(convention, dim: dim, first: first, count: count)
  }
}
