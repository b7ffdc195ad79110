import AttentionCore
import Basics
import Commands
import Foundation
import Processes
import Ranks
import Trainings

extension TrainCommand {
  /// Trains in this process, or as one of the ranks that `mpirun` started. Where ranks are asked for and nobody has started them,
  /// `mpirun` takes the place of this process and starts them with the same words.
  func runOnRanks(_ body: ((any Communicator)?) throws -> Void) throws {
    if let ranks, !(1...4096).contains(ranks) {
      throw UsageError("--ranks \(ranks): it takes a whole number from 1 to 4096")
    }
    let count = ranks ?? RankProcesses.count
    guard count > 1 || RankProcesses.count > 1 else {
      // One rank that was asked for sums as several do.
      return try ranks == nil ? body(nil) : body(OneRank())
    }
    try RankProcesses.check(max(count, RankProcesses.count))
    guard RankProcesses.isOne else {
      // What mpirun has to say of a rank that ended, the rank itself has said; a warning leaves it time to save.
      try ProcessReplacement.run(
        RankProcesses.command([Installed.program()] + CommandLine.arguments.dropFirst(), on: count))
    }
    Interruption.ofProcess.answersBetweenSteps()
    let wasFinished = try RankProcesses.join(count) { communicator in
      do { try body(communicator) } catch is Interrupted { return false }
      return true
    }
    // Every rank has left the others in order.
    guard wasFinished else { throw Interrupted() }
  }

  /// Times steps instead of training.
  func timeSteps(
    _ steps: Int, of job: TrainingJob, _ catalog: Catalog, threads: Int, _ communicator: (any Communicator)?
  ) throws {
    guard (1...100_000).contains(steps) else { throw UsageError("--time \(steps): it takes 1 to 100000") }
    guard communicator == nil else { throw UsageError("--time: it goes without --ranks") }
    let timing = try job.timeSteps(steps, catalog: catalog, threads: threads)
    show(timing.text, or: timing.json, if: json)
  }
}
