import AttentionCore
import Basics
import Foundation
import Models
import Training
import Presets
import Tensors

/// What trainings will cost, before they are run: a few steps of each are timed.
public struct TrainingForecast: Foretold {
  /// One training's prediction.
  public struct Line: Sendable {
    /// The training.
    public let job: TrainingJob
    /// Trainable parameters.
    public let parameters: Int
    /// Optimiser steps.
    public let steps: Int
    /// Counted operations of all steps.
    public let operations: Double
    /// Seconds of all steps and evaluations, by those that were timed.
    public let seconds: Double
    /// Bytes of weights, gradients and the optimiser's moments, of one layer's attention, and of what layers keep of earlier
    /// segments.
    public let bytes: Double
  }

  /// All trainings.
  public let lines: [Line]

  /// Builds every model, times a few of its steps, and keeps nothing of them.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  public init(_ jobs: [TrainingJob], catalog: Catalog) throws {
    lines = try jobs.map { job in
      let whole = try TrainingRun(job, catalog: catalog, threads: job.threadCount)
      // Steps behind a curriculum are timed; those of its stages take as long an operation.
      let run =
        whole.trainer.stages.isEmpty
        ? whole : try TrainingRun(job.withoutCurriculum, catalog: catalog, threads: job.threadCount)
      let (trainer, clock) = (run.trainer, ContinuousClock())
      let configuration = whole.trainer.configuration
      let share = whole.operations / run.operations * Double(run.trainer.configuration.steps)
      // The first step makes buffers and plans.
      _ = try trainer.advance()
      var done = 0.0, spent = 0.0
      while spent < 0.05, done < 20, !trainer.isFinished {
        let start = clock.now
        guard try trainer.advance().evaluation == nil else { break }
        spent += (clock.now - start).seconds
        done += 1
      }
      let start = clock.now
      _ = try trainer.evaluate(.validation, batches: 1)
      for place in trainer.auxiliary.indices {
        _ = try trainer.evaluate(.validation, batches: 1, ofAuxiliary: place)
      }
      let batch = (clock.now - start).seconds
      let step = done > 0 ? spent / done : 3 * batch
      let every = configuration.evaluateEvery
      let evaluations = 2 + (every > 0 ? (configuration.steps - 1) / every : 0)
      let further = try job.evaluations.reduce(0) {
        try $0 + Self.seconds(of: $1, after: run, batch: batch)
      }
      return Line(
        job: job, parameters: trainer.model.parameterCount, steps: configuration.steps,
        operations: whole.operations,
        seconds: step * share
          + batch * Double(evaluations) * Double(configuration.evaluationBatches) + further,
        bytes: 16 * Double(trainer.model.parameterCount) + whole.attentionBytes
          + Double(trainer.model.memoryBytes(streams: configuration.batch * configuration.accumulation)))
    }
  }

  /// Seconds of an evaluation under other conditions. One batch is timed, but for what costs more than a batch as the model is trained
  /// on: that takes as long an operation.
  private static func seconds(
    of evaluation: TrainingEvaluation, after run: TrainingRun, batch: Double
  ) throws -> Double {
    let changed = try run.conditions(of: evaluation)
    let count = min(evaluation.batches, changed.task.batchCount(of: .test) ?? evaluation.batches)
    let ratio = try changed.model.trainingOperations(changed.probe) / run.operationsPerBatch
    guard ratio <= 1 else { return batch * ratio * Double(count) }
    let start = ContinuousClock.now
    _ = try changed.judge.evaluate(.test, batches: 1, memory: evaluation.memory)
    return (ContinuousClock.now - start).seconds * Double(count)
  }

  /// A line a training, and the sum.
  public var text: String {
    let name = TrainingExperiment.names(of: lines.map(\.job))
    var table = TextTable(["training", "parameters", "steps", "operations", "time", "memory", ""])
    for line in lines {
      table.add([
        name(line.job), "\(line.parameters)", "\(line.steps)",
        Quantity.significant(line.operations, 3), "~" + Quantity.describe(seconds: line.seconds),
        Quantity.describe(bytes: line.bytes), line.job.isHeldOut ? "held out" : "",
      ])
    }
    let operations = lines.reduce(0) { $0 + $1.operations }
    return table.text
      + "\n\(counted(lines.count, "training")), \(Quantity.significant(operations, 3)) operations, about "
      + "\(Quantity.describe(seconds: lines.reduce(0) { $0 + $1.seconds })) (a few steps of each were timed; memory: "
      + "weights, gradients, moments, one layer's attention)"
  }

  /// The same as JSON.
  public var json: JSONValue {
    let name = TrainingExperiment.names(of: lines.map(\.job))
    return .object([
      "trainings": .array(
        lines.map {
          .object([
            "run_id": .string($0.job.id), "experiment": .string($0.job.experiment),
            "task": .string($0.job.task),
            "label": .string(name($0.job)),
            "held_out": .bool($0.job.isHeldOut), "parameters": .int($0.parameters), "steps": .int($0.steps),
            "operations": .double($0.operations), "predicted_seconds": .double($0.seconds),
            "predicted_bytes": .double($0.bytes),
          ])
        }),
      "seconds": .double(lines.reduce(0) { $0 + $1.seconds }),
    ])
  }
}
