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
    _ x: Tensor, memory: Tensor?, batch: Int, lengths: [Int]?, memoryLengths: [Int]?, _ pass: Pass
  ) throws -> (Tensor, Saved) {
    var entry = x
    var before: Normalization.Saved?
    if placement == .pre { (entry, before) = try norm.forward(x, pass) }
    let drops = pass.training && dropout > 0
    var (sum, saved) = try apply(
      entry, adding: drops ? nil : x, memory: memory, batch: batch, lengths: lengths,
      memoryLengths: memoryLengths, pass)
    if drops {
      sum = try pass.compute.add(x, pass.compute.dropout(sum, probability: dropout, key: pass.key(name)))
    }
    if let before { return (sum, Saved(norm: before, function: saved)) }
    let (result, after) = try norm.forward(sum, pass)
    return (result, Saved(norm: after, function: saved))
  }

  /// The gradients of x and of the memory.
  func backward(_ dy: Tensor, _ saved: Saved, _ pass: Pass) throws -> (x: Tensor, memory: Tensor?) {
    let dSum = placement == .pre ? dy : try norm.backward(dy, saved.norm, pass)
    var dBranch = dSum
    if pass.training, dropout > 0 {
      dBranch = try pass.compute.dropout(dSum, probability: dropout, key: pass.key(name))
    }
    var memory: Tensor?
    switch (function, saved.function) {
    case (.attention(let layer), .attention(let kept)):
      (dBranch, memory) = try layer.backward(dBranch, kept, pass)
    case (.feedForward(let layer), .feedForward(let kept)): dBranch = try layer.backward(dBranch, kept, pass)
    default: preconditionFailure("\(name): the saved values belong to another layer")
    }
    if placement == .pre {
      return (try norm.backward(dBranch, saved.norm, adding: dSum, pass), memory)
    }
    return (try pass.compute.add(dSum, dBranch), memory)
  }

  /// f(x), with a residual added by its last product.
  private func apply(
    _ x: Tensor, adding residual: Tensor?, memory: Tensor?, batch: Int, lengths: [Int]?,
    memoryLengths: [Int]?,
    _ pass: Pass
  ) throws -> (Tensor, SavedFunction) {
    switch function {
    case .attention(let layer):
      let (y, saved) = try layer.forward(
        x, memory: layer.isCross ? memory : nil, batch: batch,
        keyLengths: layer.isCross ? memoryLengths : lengths, adding: residual, pass)
      return (y, .attention(saved))
    case .feedForward(let layer):
      let (y, saved) = try layer.forward(x, adding: residual, pass)
      return (y, .feedForward(saved))
    }
  }
}
