import AttentionCore
import Tensors

/// RMSNorm of every head of q and of k, before positions turn them: `q_h ← q_h/√(mean(q_h²) + ε)∘g_q`, k with a gain of its own.
///
/// Heads `[batch, heads, length, d]`, gains `[d]`, the same for all heads.
/// - Source: Henry et al., 2020, Query-key normalization; with a gain as Qwen 3 and Gemma 3 have it.
package struct HeadNorm: Sendable {
  let query: ParameterSlot, key: ParameterSlot
  let epsilon: Double

  init(_ name: String, _ configuration: LayerConfiguration, in layout: inout ParameterLayout) {
    func gain(_ part: String) -> ParameterSlot {
      layout.add("\(name).\(part).weight", [configuration.headDim], .constant(1), decays: false)
    }
    (query, key) = (gain("queryHeadNorm"), gain("keyHeadNorm"))
    epsilon = configuration.epsilon
  }

  /// Heads, normalised and turned, and the way back from their gradient to that of heads as they were.
  func forward(
    _ heads: Tensor, _ gain: ParameterSlot, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> (heads: Tensor, back: (Tensor) throws -> Tensor) {
    let context = run.context, dim = heads.shape[3]
    let rows = heads.reshaped([heads.count / dim, dim])
    let (y, statistics) = try context.normalize(
      rows, gain: run.weight(gain), shift: nil, centred: false, epsilon: epsilon)
    let normed = y.reshaped(heads.shape)
    let turned = try rotary.map { try context.turned(normed, $0) } ?? normed
    return (
      turned,
      { d in
        let own = d.narrowed(axis: 3, to: 0..<dim).contiguous()
        let unturned = try rotary.map { try context.turned(own, $0, inverse: true) } ?? own
        return try context.normalizeBackward(
          unturned.reshaped(rows.shape), x: rows, gain: run.weight(gain), statistics: statistics,
          centred: false, gradients: &run.state.gradients, gainAt: gain.offset, shiftAt: nil
        ).reshaped(heads.shape)
      }
    )
  }
}

/// The ways back of heads of q and k that were normalised.
final class HeadsBack {
  var query: ((Tensor) throws -> Tensor)?
  var key: ((Tensor) throws -> Tensor)?

  /// Puts the gradients of heads as they were in the place of those of normalised heads.
  func walk(_ gradient: inout Operands) throws {
    if let query { gradient.query = try query(gradient.query) }
    if let key { gradient.key = try key(gradient.key) }
  }
}
