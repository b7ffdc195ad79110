import AttentionCore

extension Luong {
  /// That of the pattern, with what a score reads and does beside a product; of predicted windows the pairs that full windows have.
  public func cost(of pass: PassKind) -> Cost {
    let rows = Double(shape.batch * shape.queryHeads) * (pass == .decode ? 1 : Double(shape.queryLength))
    let dim = Double(shape.headDim)
    var cost = base.map { patternCost(of: pass, over: $0) } ?? predictedCost(of: pass)
    switch configuration.score {
    case .dot: break
    case .general:
      // q' and, going back, q' again, dq and dW.
      cost.flops += (pass == .backward ? 6 : 2) * rows * dim * dim
      cost.workspaceBytes += 4 * rows * dim * (pass == .backward ? 2 : 1)
    case .concat:
      cost.flops += (pass == .backward ? 10 : 2) * dim * (cost.neededPairs ?? 0)
    }
    return cost
  }

  private func patternCost(of pass: PassKind, over base: any PatternVariant) -> Cost {
    var cost = base.cost(of: pass)
    cost.inputOutputBytes = Cost.inputOutputBytes(of: pass, shape: shape, operands: operands)
    cost.stateBytes = stateBytes
    if configuration.score == .concat {
      cost.workspaceBytes += ScoreStages.workspaceBytes(of: pass, shape, isAdditive: true, buckets: 0)
    }
    return cost
  }

  private func predictedCost(of pass: PassKind) -> Cost {
    var pairs = 0.0
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength {
        pairs += Double(
          min(2 * configuration.window + 1, shape.visibleKeys(batch: batch, row: row)))
      }
    }
    pairs *= Double(shape.queryHeads)
    let windows = PredictedWindows(shape: shape, configuration: configuration, scale: scale)
    let scratch = windows.scratchFloats(isAdditive: configuration.score == .concat)
    let width = shape.headDim * (configuration.score == .concat ? 2 : 1)
    let sums = pass == .backward ? 4 * windows.widest + 8 * shape.batch * shape.queryHeads * width : 0
    var cost = Cost(
      of: pass, shape: shape, operands: operands, neededPairs: pairs, executedPairs: pairs,
      workspaceBytes: Double(4 * scratch + sums), stateBytes: stateBytes)
    // A tanh and a product for every element of u; going back three more.
    let rows = Double(shape.batch * shape.queryHeads) * (pass == .decode ? 1 : Double(shape.queryLength))
    cost.flops += (pass == .backward ? 8 : 3) * rows * Double(shape.headDim)
    return cost
  }
}
