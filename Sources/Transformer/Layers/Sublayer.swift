import Tensors

/// One residual step: `x + drop(f(norm(x)))` (pre) or `norm(x + drop(f(x)))` (post), f attention or feed-forward.
struct Sublayer: Sendable {
  enum Function: Sendable {
    case attention(AttentionLayer)
    case feedForward(FeedForward)
  }
  enum SavedFunction {
    case attention(AttentionLayer.Saved)
    case feedForward(FeedForward.Saved)
  }
  struct Saved {
    let norm: Normalization.Saved
    let function: SavedFunction
  }

  let function: Function
  let norm: Normalization
  let placement: ModelConfiguration.Placement
  let dropout: Double
  /// Names this sublayer's dropout stream.
  let name: String

  func forward(
    _ x: Tensor, memory: Tensor?, batch: Int, lengths: [Int]?, memoryLengths: [Int]?, _ run: LayerRun
  ) throws -> (Tensor, Saved) {
    var entry = x
    var before: Normalization.Saved?
    let valid = validRows(lengths, batch: batch, rows: x.shape[0])
    if placement == .pre { (entry, before) = try norm.forward(x, valid: valid, run) }
    let drops = run.training && dropout > 0
    var (sum, saved) = try apply(
      entry, adding: drops ? nil : x, memory: memory, batch: batch, lengths: lengths,
      memoryLengths: memoryLengths, run)
    if drops {
      sum = try run.context.add(x, run.context.dropout(sum, probability: dropout, key: run.key(name)))
    }
    if let before { return (sum, Saved(norm: before, function: saved)) }
    let (result, after) = try norm.forward(sum, valid: valid, run)
    return (result, Saved(norm: after, function: saved))
  }

  /// The gradients of x and of the memory.
  func backward(_ dy: Tensor, _ saved: Saved, _ run: LayerRun) throws -> (x: Tensor, memory: Tensor?) {
    let dSum = placement == .pre ? dy : try norm.backward(dy, saved.norm, run)
    var dBranch = dSum
    if run.training, dropout > 0 {
      dBranch = try run.context.dropout(dSum, probability: dropout, key: run.key(name))
    }
    var memory: Tensor?
    switch (function, saved.function) {
    case (.attention(let layer), .attention(let kept)):
      (dBranch, memory) = try layer.backward(dBranch, kept, run)
    case (.feedForward(let layer), .feedForward(let kept)): dBranch = try layer.backward(dBranch, kept, run)
    default: preconditionFailure("\(name): the saved values belong to another layer")
    }
    if placement == .pre {
      return (try norm.backward(dBranch, saved.norm, adding: dSum, run), memory)
    }
    return (try run.context.add(dSum, dBranch), memory)
  }

  /// f(x), with a residual added by its last product.
  private func apply(
    _ x: Tensor, adding residual: Tensor?, memory: Tensor?, batch: Int, lengths: [Int]?,
    memoryLengths: [Int]?,
    _ run: LayerRun
  ) throws -> (Tensor, SavedFunction) {
    switch function {
    case .attention(let layer):
      let (y, saved) = try layer.forward(
        x, memory: layer.isCross ? memory : nil, batch: batch,
        keyLengths: layer.isCross ? memoryLengths : lengths, adding: residual, run)
      return (y, .attention(saved))
    case .feedForward(let layer):
      let (y, saved) = try layer.forward(x, adding: residual, run)
      return (y, .feedForward(saved))
    }
  }
}
