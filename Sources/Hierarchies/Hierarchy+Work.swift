import Layers

extension HierarchicalTransformer {
  package func work(on size: WalkSize) -> [Work] {
    guard let cut = size.cut else { return [] }
    return [
      Work(sublayers: within.sublayers, batch: cut.segments.count, length: cut.segments.longest),
      Work(sublayers: across.flatMap(\.block.sublayers), batch: size.batch, length: cut.documents.longest),
    ]
  }
}

extension HierarchicalAttentionNetwork {
  package func work(on size: WalkSize) -> [Work] {
    guard let cut = size.cut else { return [] }
    func work(_ level: Level, _ groups: RowGroups) -> Work {
      var work = Work(batch: groups.count, length: groups.longest)
      work.weights = level.pooling.hidden.weight.count
      if let stack = level.encoder as? Stack { work.sublayers = stack.sublayers }
      if let chain = level.encoder as? Chain {
        for case let unit as GatedRecurrent in chain.layers {
          work.weights += unit.directions.reduce(0) { $0 + $1.input.weight.count + $1.state.weight.count }
        }
      }
      return work
    }
    return [work(words, cut.segments), work(segments, cut.documents)]
  }
}
