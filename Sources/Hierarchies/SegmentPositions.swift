import Layers
import Tensors

/// Adds the position of every segment in its document to its row: a learned table `[most segments, width]`, or sines and
/// cosines; nothing for positions that attention itself makes (RoPE), or none.
struct SegmentPositions: Sendable {
  let table: ParameterSlot?
  let isSinusoidal: Bool

  init(_ name: String, _ configuration: LayerConfiguration, most: Int, in layout: inout ParameterLayout) {
    table =
      configuration.position == .learned
      ? layout.add(name + ".positions.weight", [most, configuration.width], .normal(0.02), decays: false)
      : nil
    isSinusoidal = configuration.position == .sinusoidal
  }

  /// Rows of segments, by document, with their positions, and the gradient of the table.
  func added(
    to x: Tensor, _ documents: RowGroups, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: (Tensor) -> Void) {
    let context = run.context
    let places = documents.ranges.flatMap { range in range.indices.map { Int32($0 - range.lowerBound) } }
    guard let table else {
      guard isSinusoidal else { return (x, { _ in }) }
      let sinusoids = try run.planner.sinusoids(RowRuns(all: documents.longest), width: x.shape[1])
      return (try context.add(x, context.lookUp(places, in: sinusoids)), { _ in })
    }
    let y = try context.add(x, context.lookUp(places, in: run.weight(table)))
    return (y, { context.accumulateRows($0, at: places, into: &run.state.gradients, at: table.offset) })
  }
}
