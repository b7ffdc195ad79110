import Models
import Training
import Testing

@testable import Trainings

/// The time that a training says is left.
@Suite struct TrainingPaceTests {
  /// Steps of 10 ms and evaluations of a second every 50 steps, after a first step of 3 s.
  private func pace(after steps: Int) -> TrainingPace {
    var pace = TrainingPace()
    for step in 1...steps {
      let isEvaluated = step % 50 == 0
      pace.add(tokens: 100, seconds: (step == 1 ? 3 : 0.01) + (isEvaluated ? 1 : 0), isEvaluated)
    }
    return pace
  }

  @Test(
    "evaluations that are to come are counted, and the first step is not taken for the others",
    arguments: [(60, 1000), (199, 1000), (60, 1010)])
  func left(_ done: Int, _ steps: Int) {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.evaluateEvery) = (steps, 50)
    // An evaluation at every fiftieth step, one at the last, and the test.
    let evaluations = (done + 1...steps).count { $0 % 50 == 0 || $0 == steps } + 1
    let truth = 0.01 * Double(steps - done) + Double(evaluations)
    let said = pace(after: done).secondsLeft(after: done, of: configuration)
    #expect(abs(said / truth - 1) < 0.02, "\(said) s said, \(truth) s in truth")
    #expect(abs(pace(after: done).tokensPerSecond * (3 + 0.01 * Double(done - 2)) / 100 - Double(done)) < 6)
  }

  @Test("before the first evaluation its forward passes are foretold by the steps")
  func beforeTheFirstEvaluation() {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.evaluateEvery, configuration.evaluationBatches) = (100, 0, 30)
    // 90 steps, and two evaluations of thirty forward passes, a third of a step each.
    #expect(abs(pace(after: 10).secondsLeft(after: 10, of: configuration) - (0.9 + 2 * 0.1)) < 1e-9)
    #expect(TrainingPace().secondsLeft(after: 0, of: configuration) == 0)
  }

  @Test("where every step is evaluated the mean of all is taken")
  func everyStepIsEvaluated() {
    var pace = TrainingPace(), configuration = TrainingConfiguration()
    (configuration.steps, configuration.evaluateEvery) = (10, 1)
    for _ in 1...5 { pace.add(tokens: 1, seconds: 2, true) }
    #expect(pace.secondsLeft(after: 5, of: configuration) == 10)
  }
}
