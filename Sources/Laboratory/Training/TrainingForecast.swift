import AttentionCore
import Foundation
import Tensors
import Transformer

/// What trainings will cost, before they are run.
public struct TrainingForecast {
  /// A page: a line a training, and the sum.
  public let text: String

  /// Builds every model and counts; nothing is trained.
  public init(_ jobs: [TrainingJob], catalog: Catalog) {
    var lines: [String] = []
    var total = 0.0
    for job in jobs {
      guard let run = try? TrainingRun(job, catalog: catalog, threads: 1) else { continue }
      total += run.operations
      lines.append(
        "\(TrainingRunner.label(job)): \(run.trainer.model.parameterCount) parameters, "
          + "\(run.trainer.configuration.steps) steps, \(Quantity.significant(run.operations, 3)) operations")
    }
    let seconds = total / 40e9
    lines.append(
      "\(jobs.count) trainings, \(Quantity.significant(total, 3)) operations: "
        + "\(Quantity.describe(seconds: seconds)) at 40 GFLOP/s")
    text = lines.joined(separator: "\n")
  }
}

extension Preset {
  /// All trainings of all training experiments.
  public var trainings: [TrainingJob] {
    experiments.flatMap { experiment -> [TrainingJob] in
      if case .training(let plan) = experiment.body { plan.jobs } else { [] }
    }
  }
}
