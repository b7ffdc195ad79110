import Experts
import Tensors

/// A feed-forward layer of experts of which every row asks some (`ExpertMixture` has the equations).
///
/// x `[rows, width]`. Parameters: `router.{weight,bias}` `[experts, width]`, `experts.e.{gate,up,outer}.{weight,bias}`,
/// `router.correction` `[experts]`, `shared.{gate,up,outer}.weight`, `shared.scale.weight` `[1, width]`. The rows of an expert are gathered,
/// so that it makes the products of a plain layer; experts follow each other in order, so the bits do not depend on threads.
/// - Complexity: 6·rows·chosen·hidden·width operations forward, and 2·rows·experts·width of the router.
package struct MixtureOfExperts: BranchLayer {
  struct Expert: Sendable {
    let inner: Linear
    let outer: Linear
  }

  let mixture: ExpertMixture
  let router: Linear
  let correction: ParameterSlot?
  let experts: [Expert]
  let unit: GatedUnit
  let shared: FeedForward?
  let sharedGate: Linear?

  package init(
    _ name: String, _ mixture: ExpertMixture, _ configuration: LayerConfiguration, gain: Double,
    in layout: inout ParameterLayout
  ) {
    self.mixture = mixture
    let width = configuration.width
    let hidden = mixture.hidden == 0 ? configuration.effectiveHidden : mixture.hidden
    unit =
      mixture.clamp > 0
      ? .clamped(alpha: mixture.alpha, most: mixture.clamp) : configuration.feedForward.unit ?? .silu
    router = Linear(
      name + ".router", from: width, to: mixture.experts, bias: mixture.routerBias, in: &layout)
    correction =
      mixture.correction
      ? layout.add(name + ".router.correction", [mixture.experts], .constant(0), decays: false) : nil
    experts = (0..<mixture.experts).map { expert in
      let own = "\(name).experts.\(expert)"
      return Expert(
        inner: Linear(
          [(own + ".gate", hidden), (own + ".up", hidden)], from: width, bias: mixture.bias, in: &layout),
        outer: Linear(
          own + ".outer", from: hidden, to: width, bias: mixture.bias, gain: gain, in: &layout))
    }
    var all = configuration
    (all.hidden, all.bias) = (mixture.shared, false)
    shared = mixture.shared > 0 ? FeedForward(name + ".shared", all, gain: gain, in: &layout) : nil
    sharedGate =
      mixture.sharedGate ? Linear(name + ".shared.scale", from: width, to: 1, bias: false, in: &layout) : nil
  }

  /// Weights that a row is multiplied with.
  package var activeWeights: Int {
    let own = experts.first.map { $0.inner.weight.count + $0.outer.weight.count } ?? 0
    let all = shared.map { $0.inner.weight.count + $0.outer.weight.count } ?? 0
    return router.weight.count + mixture.chosen * own + all + (sharedGate?.weight.count ?? 0)
  }

  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let context = run.context, rows = x.shape[0]
    let routing = Routing(
      mixture, scores: try router.product(x, run), correction: correction.map { run.weight($0).array() })
    var y = try context.zeros([rows, x.shape[1]])
    var asked: [Asked] = []
    for (expert, places) in routing.places.enumerated() where !places.isEmpty {
      let one = try ask(experts[expert], places, x, run)
      let weighed = try context.scaledRows(one.output, by: places.map { routing.weights[$0] })
      context.accumulateRows(weighed, at: one.rows, into: &y, at: 0)
      if run.isDifferentiated { asked.append(one) }
    }
    let always = try askShared(x, run)
    if let always { context.accumulate(always.output, into: &y) }
    let output = try context.sum(residual, y)
    guard run.isDifferentiated else { return (output, .none) }
    let pullback = Pullback { dy, residual in
      var dx = try always?.pullback(dy) ?? context.zeros(x.shape)
      var dWeights = [Float](repeating: 0, count: routing.weights.count)
      for one in asked {
        let own = try context.lookUp(one.rows, in: dy)
        for (place, d) in zip(one.places, context.rowProducts(own, one.output)) { dWeights[place] = d }
        let weighed = try context.scaledRows(own, by: one.places.map { routing.weights[$0] })
        context.accumulateRows(try one.back(weighed), at: one.rows, into: &dx, at: 0)
      }
      context.accumulate(try router.backward(routing.backward(dWeights), x: x, run), into: &dx)
      return try context.sum(residual, dx)
    }
    return (output, pullback)
  }

  /// What an expert made of the rows that ask it.
  private struct Asked {
    /// The places of their weights, and the rows.
    let places: [Int], rows: [Int32]
    let output: Tensor
    let back: (Tensor) throws -> Tensor
  }

  private func ask(_ expert: Expert, _ places: [Int], _ x: Tensor, _ run: LayerRun) throws -> Asked {
    let context = run.context, rows = places.map { Int32($0 / mixture.chosen) }
    let own = try context.lookUp(rows, in: x)
    let before = try expert.inner.product(own, run)
    let after = try context.gated(before, by: unit)
    return Asked(places: places, rows: rows, output: try expert.outer.product(after, run)) { dy in
      let dBefore = try context.gatedBackward(
        expert.outer.backward(dy, x: after, run), x: before, by: unit)
      return try expert.inner.backward(dBefore, x: own, run)
    }
  }

  /// What the shared expert makes of all rows, with its gate.
  private func askShared(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback)? {
    guard let shared else { return nil }
    let (y, pullback) = try shared.forward(x, adding: nil, run)
    guard let sharedGate else { return (y, pullback) }
    let context = run.context
    let before = try sharedGate.product(x, run), gate = try context.activate(before, .sigmoid)
    let whole = Pullback { dy, residual in
      let d = try Tensor(context.rowProducts(dy, y), shape: before.shape)
      let dGate = try sharedGate.backward(
        context.activateBackward(d, x: before, .sigmoid), x: x, run)
      let dShared = try pullback(context.scaledRows(dy, by: gate.array()), adding: residual)
      return try context.add(dShared, dGate)
    }
    return (try context.scaledRows(y, by: gate.array()), whole)
  }
}
