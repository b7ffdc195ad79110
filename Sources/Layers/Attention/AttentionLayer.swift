import AttentionCore
import RealModule
import Settings
import Tensors

/// Multi-head attention: `y = concat_h(attend(x W_Qᵀ, m W_Kᵀ, m W_Vᵀ)_h)·W_Oᵀ`, m = x, or the memory in cross-attention.
///
/// x `[batch·length, width]`; W_Q `[heads·d, width]`, W_K and W_V `[keyHeads·d, width]`, W_O `[width, heads·d]`.
/// Any variant of the catalogue computes the middle. RoPE rotates q and k by their positions; before that every head of them may
/// be normalised.
///
/// ALiBi adds `−slope_h·(i − j)` to the score. In causal attention `−slope·i` is the same for all keys of a row and
/// cancels in the softmax, so one more element of q (`slope/scale`) and of k (`j`) gives the bias under any variant.
package struct AttentionLayer: BranchLayer {
  package let name: String
  package let attention: LayerAttention
  package let heads: Int
  package let keyHeads: Int
  /// Heads of q and k that the maps make, each for as many neighbouring heads; `nil`: as many as there are.
  package let groups: Int?
  package let dim: Int
  /// The width of a head's values and output.
  package let valueDim: Int
  package let isCausal: Bool
  package let isCross: Bool
  package let position: LayerConfiguration.Position
  /// How far positions turn.
  package let rotation: RotaryPositions
  /// The factor on products of q and k; `nil`: 1/√d.
  package let scale: Double?
  /// What normalises heads of q and k; `nil`: nothing.
  package let headNorm: HeadNorm?
  /// What makes rows, and what becomes of heads.
  package let wiring: LayerWiring
  /// q, k and v of x, as far as the wiring has them; in cross-attention q alone; with latents q, or its latent, and theirs.
  package let input: Linear
  /// What makes heads of latents; `nil`: the input map makes them.
  package let latent: LatentMaps?
  /// k and v of the memory in cross-attention.
  package let memoryInput: Linear?
  /// The map of the heads' outputs; `nil`: there is a bias alone.
  package let output: Linear?
  package let bias: ParameterSlot?
  /// What a recurrent layer has before its heads, and behind them; `nil`: nothing.
  package let convolution: ShortConvolution?, gate: OutputGate?
  /// What it looks up of earlier segments; `nil`: nothing.
  package let stored: StoredAttention?
  /// What makes the operands of the variant's own that have rows: of q, then of k and v.
  package let projected: [ProjectedOperands]
  /// Its parameters: operands that are the same for every input.
  package let learned: [(operand: Operand, slot: ParameterSlot)]
  /// The names under which the variant reads a graph.
  package let graphs: [Operand.Name]
  /// What the variant draws by in a training.
  package let drawn: [Operand]
  /// The last position whose row reads an operand of the variant's own; `nil`: there is no last one.
  package let lastReader: @Sendable (Operand.Name) -> Int?

  package init(
    _ name: String, _ configuration: LayerConfiguration, attention: LayerAttention, isCausal: Bool,
    isCross: Bool, operands: LayerOperands = .none, gain: Double, looksUp: Bool = false, place: Int = 0,
    in layout: inout ParameterLayout
  ) {
    let isRecurrent = operands.isRecurrent && !isCross
    let configuration = isRecurrent ? configuration.ofRecurrences : configuration
    let width = configuration.width, bias = configuration.hasInputBias
    groups = isRecurrent && configuration.recurrentGroups > 0 ? configuration.recurrentGroups : nil
    (self.name, self.attention, self.isCausal, self.isCross) = (name, attention, isCausal, isCross)
    heads = configuration.heads
    keyHeads = configuration.effectiveKeyHeads
    wiring = operands.wiring
    dim = wiring.output == .mean ? width : configuration.headDim
    valueDim = wiring.output == .mean ? width : isCross ? configuration.headDim : configuration.valueDim
    position = isCross ? .none : configuration.position
    rotation = configuration.rotary[place % configuration.rotary.count]
    scale = configuration.attentionScale == 0 ? nil : configuration.attentionScale
    let query = (name: name + ".query", output: (groups ?? heads) * dim)
    let keyValue = [
      (name: name + ".key", output: (groups ?? keyHeads) * dim),
      (name: name + ".value", output: keyHeads * (isRecurrent ? valueDim : dim)),
    ]
    let hasLatent = configuration.latent > 0 && !isCross && !isRecurrent
    let own =
      hasLatent
      ? LatentMaps.inputs(name, configuration)
      : (wiring.queryIsKey ? [] : [query]) + (wiring.makesValue ? keyValue : [keyValue[0]])
    input = Linear(isCross ? [query] : own, from: width, bias: bias, in: &layout)
    latent = hasLatent ? LatentMaps(name, configuration, in: &layout) : nil
    memoryInput =
      isCross ? Linear(keyValue, from: configuration.outputWidth, bias: bias, in: &layout) : nil
    if wiring.output == .projected {
      output = Linear(
        name + ".output", from: heads * valueDim, to: width, bias: configuration.hasOutputBias, gain: gain,
        in: &layout)
      self.bias = nil
    } else {
      output = nil
      self.bias =
        configuration.hasOutputBias
        ? layout.add(name + ".bias", [width], .constant(0), decays: false) : nil
    }
    headNorm =
      configuration.headNorm && !isCross && latent == nil && !isRecurrent
      ? HeadNorm(name, configuration, in: &layout) : nil
    convolution =
      isRecurrent ? ShortConvolution(name, columns: input.weight.shape[0], configuration, in: &layout) : nil
    gate =
      isCross
      ? nil
      : OutputGate(
        name, columns: heads * valueDim, isRecurrent: isRecurrent, configuration, in: &layout)
    stored = looksUp ? StoredAttention(name, configuration, in: &layout) : nil
    var projected: [ProjectedOperands] = []
    for ofQueries in [true, false] {
      let group = ProjectedOperands(
        operands.declared, ofQueries: ofQueries, layer: name, configuration, copying: input, in: &layout)
      if let group { projected.append(group) }
    }
    self.projected = projected
    let headDim = dim
    learned = operands.declared.compactMap { operand in
      guard case .learned(let initial) = operand.source else { return nil }
      let extents = configuration.extents(of: operand, headDim: headDim)
      // The stack's name, such as `decoder`, stands before that of its layers.
      let owner = operand.isShared ? name.prefix { $0 != "." }.description : name
      let slot =
        (operand.isShared ? layout.slot("\(owner).\(operand.name)", extents) : nil)
        ?? layout.add(
          "\(owner).\(operand.name)", extents, .init(initial), decays: false, bounds: operand.bounds,
          meanPenalty: operand.meanPenalty)
      return (operand, slot)
    }
    graphs = operands.declared.filter { $0.source == .edges }.map(\.name)
    drawn = operands.declared.filter { $0.source == .uniform }
    lastReader = operands.lastReader
  }

  /// Columns of a product that q takes, or its latent.
  var queryColumns: Int { latent?.queryColumns ?? (groups ?? heads) * dim }
  /// The column of a product at which k begins.
  var keyColumn: Int { wiring.queryIsKey ? 0 : queryColumns }

  /// The rotation of `count` positions from `first`, for layers that have one.
  package func rotary(first: Int, count: Int, _ run: LayerRun) throws -> RotaryTable? {
    let turned = rotation.turned(of: latent?.ropeWidth ?? dim)
    guard position == .rope || position == .ropeInterleaved, turned > 0 else { return nil }
    return try run.planner.rotary(
      position == .rope ? .half : .interleaved, rotation, turned: turned,
      rows: run.spread?.rows ?? RowRuns([first..<first + count]),
      length: run.spread?.length ?? first + count)
  }

  /// The slope of a head: 2^(−8h/H) for a power of two, else those of the next lower power and every other one of the
  /// next higher (Press et al., 2022).
  package static func slopes(heads: Int) -> [Float] {
    func powers(_ count: Int) -> [Double] { (1...count).map { Double.exp2(-8 * Double($0) / Double(count)) } }
    var lower = 1
    while lower * 2 <= heads { lower *= 2 }
    let extra = stride(from: 0, to: 2 * (heads - lower), by: 2).map { powers(2 * lower)[$0] }
    return (powers(lower) + extra).map { Float($0) }
  }

  /// Which rows are keys where the layer has latents; in others the two are one.
  package enum Form { case expanded, absorbed }

  /// The sizes of one call.
  package func shape(
    batch: Int, queries: Int, keys: Int, keyLengths: [Int]?, form: Form = .expanded
  ) throws -> AttentionShape {
    let scored = dim + (latent?.ropeWidth ?? 0)
    var shape = try AttentionShape(
      batch: batch, queryHeads: heads, keyHeads: keyHeads, queryLength: queries, keyLength: keys,
      headDim: position == .alibi ? dim + 1 : scored, valueDim: valueDim, isCausal: isCausal,
      keyLengths: keyLengths,
      scale: wiring.scalesProducts ? scale ?? AttentionShape.defaultScale(headDim: scored) : nil)
    if let latent, form == .absorbed {
      (shape.keyHeads, shape.headDim, shape.valueDim) = (1, latent.width + latent.ropeWidth, latent.width)
    }
    return shape
  }

  /// Bytes that a decoder holds of one sequence after so many positions, closed form: keys, values and what else has their rows;
  /// with latents those alone, 4·rows·(d_c + d_r); of a convolution the rows that its next one reads, 4·(taps − 1)·columns.
  /// - Parameters:
  ///   - positions: read so far.
  ///   - planner: makes the plan that knows which rows are held.
  package func stateBytes(after positions: Int, _ planner: AttentionPlanner) throws -> Double {
    let shape = try shape(batch: 1, queries: positions, keys: positions, keyLengths: nil, form: .absorbed)
    let plan = try planner.plan(attention, layer: name, shape: shape)
    let tail = 4 * (convolution.map { $0.weight.count - $0.weight.shape[1] } ?? 0)
    // Its values are a part of its keys.
    return plan.stateBytes(without: latent == nil ? [] : [.value]) + Double(tail)
  }
}
