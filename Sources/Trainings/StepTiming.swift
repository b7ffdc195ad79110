import AttentionCore
import Basics
import Models
import Training
import Presets
import Tensors

/// How long a training step takes, warm: nothing is evaluated, nothing is written.
public struct StepTiming: Sendable {
  /// Seconds of every timed step, batch and optimiser included, in order.
  public let seconds: [Double]
  /// Tokens of a step.
  public let tokens: Int
  /// Operations of a step as `TransformerModel.trainingOperations` counts them.
  public let operations: Double
  /// The machine's measured multiply-add peak with these threads, in operations a second; `nil`: not known.
  public let peak: Double?
  /// Blocks that the timed steps asked of the system, all together: 0 in the steady state; `nil`: they were not counted.
  public let allocations: Int?
  /// Threads in use.
  public let threads: Int

  /// Quantile of the seconds of a step.
  public func seconds(_ quantile: Double) -> Double { Quantiles.of(seconds, quantile) }
  /// Tokens a second at the median.
  public var tokensPerSecond: Double { Double(tokens) / seconds(0.5) }
  /// The fraction of the peak at the median.
  public var fractionOfPeak: Double? { peak.map { operations / seconds(0.5) / $0 } }

  /// Names and values, as in the tables of results.
  public var json: JSONValue {
    .object([
      "seconds": .array(seconds.map { .double($0) }), "seconds_median": .double(seconds(0.5)),
      "seconds_p20": .double(seconds(0.2)), "seconds_p80": .double(seconds(0.8)), "tokens": .int(tokens),
      "tokens_per_second": .double(tokensPerSecond), "compute_flops": .double(operations),
      "fraction_of_peak": .number(fractionOfPeak), "threads": .int(threads),
      "allocations": .number(allocations),
    ])
  }

  /// Two lines for a person.
  public var text: String {
    let peak = fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of the measured peak" } ?? ""
    let blocks = allocations.map { "; \(counted($0, "allocation"))" } ?? ""
    return """
      step        \(Quantity.describe(seconds: seconds(0.5))) (\(Quantity.describe(seconds: seconds(0.2))) to \
      \(Quantity.describe(seconds: seconds(0.8)))), \(seconds.count) timed on \(counted(threads, "thread"))
      speed       \(Quantity.significant(tokensPerSecond, 4)) tokens/s, \
      \(Quantity.significant(operations / seconds(0.5) / 1e9, 3)) GFLOP/s\(peak)\(blocks)
      """
  }
}

extension TrainingJob {
  /// Times steps of this training after a few that are not timed.
  /// - Throws: `ConfigurationError` before any time is spent; `TrainingDiverged`; what tasks and attention throw.
  public func timeSteps(
    _ count: Int, catalog: Catalog, threads: Int, warmup: Int = StepTiming.warmupSteps
  ) throws -> StepTiming {
    var job = self
    // No evaluation falls among the timed steps, and no stage of a curriculum.
    job = job.withoutCurriculum
    job.trainingSettings["steps"] = .int(warmup + count + 1)
    job.trainingSettings["evaluate_every"] = .int(0)
    let run = try TrainingRun(job, catalog: catalog, threads: threads)
    let trainer = run.trainer, clock = ContinuousClock()
    for _ in 0..<warmup { _ = try trainer.advance() }
    let before = trainer.model.context.ledger?.systemAllocations ?? 0
    var seconds: [Double] = []
    var tokens = 0
    for _ in 0..<count {
      let start = clock.now
      tokens = try trainer.advance().tokens
      seconds.append((clock.now - start).seconds)
    }
    return StepTiming(
      seconds: seconds, tokens: tokens,
      operations: run.operations / Double(trainer.configuration.steps),
      peak: MachinePeak.gflops(threads: threads, instructionSet: InstructionSet.default.rawValue).map {
        $0 * 1e9
      },
      allocations: (trainer.model.context.ledger?.systemAllocations ?? 0) - before, threads: threads)
  }
}
