import AttentionCore
import Basics
import Tensors

extension MeasurementPlan {
  /// All cells: lengths ascend, and at each length the variants follow one another, so that a machine that drifts
  /// favours none.
  /// - Throws: `UsageError` when key heads do not divide heads, or there are more than `mostCells`.
  /// - Complexity: O(number of cells).
  public func cells(preset: String, experiment: String) throws(UsageError) -> [Cell] {
    let sizes: [Int] = [
      inputs.count, seeds.count, instructionSets.count, threads.count, causal.count, headDims.count,
      valueDims.count, heads.count, keyHeads.count, batches.count, lengths.count, keyLengths.count,
      passes.count,
      choices.count, precisions.count,
    ]
    let count = sizes.reduce(1.0) { $0 * Double(max(1, $1)) }
    guard count <= Double(Self.mostCells) else {
      throw UsageError(
        "experiment \(experiment): its lists make \(Quantity.significant(count, 3)) cells; at most "
          + "\(Self.mostCells) are allowed")
    }
    var cells: [Cell] = []
    var base = Cell(variant: "", queryLength: 1)
    (base.preset, base.experiment) = (preset, experiment)
    (base.warmup, base.repeats, base.budgetSeconds) = (warmup, repeats, budgetSeconds)
    for outer in combinations(of: base) {
      for length in lengths {
        for keyLength in keyLengths.isEmpty ? [length] : keyLengths {
          for pass in passes {
            for (choice, precision) in choices.flatMap({ choice in precisions.map { (choice, $0) } }) {
              var cell = outer
              cell.precision = precision
              (cell.queryLength, cell.keyLength, cell.pass) = (length, keyLength, pass)
              // Decoding asks with one new query for a cache of n keys, and a cache is the past.
              if pass == .decode { (cell.queryLength, cell.isCausal) = (1, true) }
              (cell.variant, cell.settings) = (choice.variant, choice.settings)
              cells.append(cell)
            }
          }
        }
      }
    }
    if let odd = cells.first(where: { $0.heads % $0.keyHeads != 0 }) {
      throw UsageError(
        "experiment \(experiment): key_heads \(odd.keyHeads) is no divisor of heads \(odd.heads)")
    }
    return cells
  }

  /// The most cells of an experiment: at a tenth of a second each, a day.
  static let mostCells = 1_000_000

  /// All combinations of the fields that change seldom.
  private func combinations(of base: Cell) -> [Cell] {
    var cells = [base]
    func sweep<T>(_ values: [T], _ store: (inout Cell, T) -> Void) {
      cells = cells.flatMap { cell in
        values.map { value in
          var cell = cell
          store(&cell, value)
          return cell
        }
      }
    }
    sweep(inputs) { $0.input = $1 }
    sweep(seeds) { $0.seed = $1 }
    sweep(instructionSets.isEmpty ? [InstructionSet.default.rawValue] : instructionSets) {
      $0.instructionSet = $1
    }
    sweep(threads.map { $0 == 0 ? Parallel.processorCount : $0 }) { $0.threads = $1 }
    sweep(causal) { $0.isCausal = $1 }
    sweep(headDims) {
      $0.headDim = $1
      $0.valueDim = $1
    }
    if !valueDims.isEmpty { sweep(valueDims) { $0.valueDim = $1 } }
    sweep(heads) {
      $0.heads = $1
      $0.keyHeads = $1
    }
    if !keyHeads.isEmpty { sweep(keyHeads) { $0.keyHeads = $1 } }
    sweep(batches) { $0.batch = $1 }
    return cells
  }
}

extension Preset {
  /// All cells of all measurement experiments.
  /// - Throws: `UsageError`.
  public func cells() throws(UsageError) -> [Cell] {
    var cells: [Cell] = []
    for experiment in experiments {
      switch experiment.body {
      case .measurement(let plan):
        cells += try plan.cells(preset: name, experiment: experiment.name)
      case .training: continue
      }
    }
    return cells
  }
}
