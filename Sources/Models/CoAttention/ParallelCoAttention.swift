import Layers
import Tensors

/// The parallel form of `CoAttention`.
/// - Complexity: 8·length·sourceLength·width operations a sequence forward, twice that backward.
struct ParallelCoAttention: Sendable {
  /// `Q·W_b`.
  let affinity: Linear
  let ofQuestion: Linear
  let ofSource: Linear
  let questionQuery: LearnedQuery
  let sourceQuery: LearnedQuery

  init(_ name: String, width: Int, in layout: inout ParameterLayout) {
    func linear(_ part: String) -> Linear {
      Linear("\(name).\(part)", from: width, to: width, bias: false, in: &layout)
    }
    affinity = linear("affinity")
    ofQuestion = linear("question")
    ofSource = linear("source")
    questionQuery = LearnedQuery(name + ".question", width: width, in: &layout)
    sourceQuery = LearnedQuery(name + ".source", width: width, in: &layout)
  }

  /// The rows of one sequence that are no padding, and its affinities.
  private struct Pair {
    let question: Range<Int>
    let source: Range<Int>
    /// `Q·W_b·Vᵀ`, before its tanh.
    let scores: Tensor
    let affinities: Tensor
  }

  func forward(_ x: Tensor, _ memory: Memory, _ run: LayerRun) throws -> (Tensor, PairPullback) {
    let context = run.context, source = memory.rows
    let ofMemory = run.over(batch: run.batch, lengths: memory.lengths)
    let products = try affinity.product(x, run)
    let ownQuestion = try ofQuestion.product(x, run), ownSource = try ofSource.product(source, run)
    var question = ownQuestion, read = ownSource
    var pairs: [Pair] = []
    for (rows, others) in ranges(x, source, run, memory) where !rows.isEmpty && !others.isEmpty {
      let scores = try context.matmul(
        products.narrowed(axis: 0, to: rows), .plain, source.narrowed(axis: 0, to: others), .transposed)
      let pair = Pair(
        question: rows, source: others, scores: scores, affinities: try context.activate(scores, .tanh))
      try add(pair.affinities, .transposed, ownQuestion, rows, to: &read, at: others, context)
      try add(pair.affinities, .plain, ownSource, others, to: &question, at: rows, context)
      pairs.append(pair)
    }
    let (beforeQuestion, beforeSource, kept) = (question, read, pairs)
    let q = try questionQuery.forward(keys: context.activate(beforeQuestion, .tanh), values: x, run)
    let v = try sourceQuery.forward(keys: context.activate(beforeSource, .tanh), values: source, ofMemory)
    let pullback: PairPullback = { d in
      let (dQuestionKeys, dx) = try q.pullback(d), (dSourceKeys, dMemory) = try v.pullback(d)
      let dQuestion = try context.activateBackward(dQuestionKeys, x: beforeQuestion, .tanh)
      let dSource = try context.activateBackward(dSourceKeys, x: beforeSource, .tanh)
      var (dOwnQuestion, dOwnSource) = (dQuestion, dSource)
      var dProducts = try context.zeros(products.shape), dValues = dMemory
      for pair in kept {
        let (rows, others) = (pair.question, pair.source)
        try add(pair.affinities, .plain, dSource, others, to: &dOwnQuestion, at: rows, context)
        try add(pair.affinities, .transposed, dQuestion, rows, to: &dOwnSource, at: others, context)
        var dAffinities = try context.matmul(
          ownQuestion.narrowed(axis: 0, to: rows), .plain, dSource.narrowed(axis: 0, to: others), .transposed)
        try context.gemm(
          dQuestion.narrowed(axis: 0, to: rows), .plain, ownSource.narrowed(axis: 0, to: others), .transposed,
          into: &dAffinities, accumulate: true)
        let dScores = try context.activateBackward(dAffinities, x: pair.scores, .tanh)
        try add(dScores, .plain, source, others, to: &dProducts, at: rows, context)
        try add(dScores, .transposed, products, rows, to: &dValues, at: others, context)
      }
      let ofRows = try context.add(
        ofQuestion.backward(dOwnQuestion, x: x, run), affinity.backward(dProducts, x: x, run))
      let ofValues = try ofSource.backward(dOwnSource, x: source, run)
      return (try context.add(dx, ofRows), try context.add(dValues, ofValues))
    }
    return (try context.add(q.output, v.output), pullback)
  }

  /// The real rows of both sequences of every pair.
  private func ranges(
    _ x: Tensor, _ source: Tensor, _ run: LayerRun, _ memory: Memory
  ) -> [(question: Range<Int>, source: Range<Int>)] {
    func rows(_ sequence: Int, _ x: Tensor, _ lengths: [Int]?) -> Range<Int> {
      let length = x.shape[0] / run.batch, first = sequence * length
      return first..<first + min(lengths?[sequence] ?? length, length)
    }
    return (0..<run.batch).map { (rows($0, x, run.lengths), rows($0, source, memory.lengths)) }
  }

  /// Adds a product of affinities and rows to other rows.
  private func add(
    _ affinities: Tensor, _ side: ExecutionContext.Orientation, _ x: Tensor, _ rows: Range<Int>,
    to target: inout Tensor, at others: Range<Int>, _ context: ExecutionContext
  ) throws {
    try context.gemm(
      affinities, side, x.narrowed(axis: 0, to: rows), .plain, into: &target,
      at: others.lowerBound * target.shape[1], accumulate: true)
  }
}
