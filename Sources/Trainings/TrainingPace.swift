import Basics
import Models
import Training

/// How fast a session trains, and how long it will take.
///
/// Steps and evaluations are counted apart: an evaluation may take as long as many steps, and its turn comes seldom.
struct TrainingPace {
  /// Steps of this session.
  private(set) var steps = 0
  private var plain = (steps: 0, tokens: 0, seconds: 0.0)
  private var all = (tokens: 0, seconds: 0.0)
  /// The lately usual seconds of a step without an evaluation; `nil`: there was none.
  private var step: Double?
  /// What the last evaluation took beside its step; `nil`: there was none.
  private var evaluation: Double?

  /// Counts a step.
  /// - Parameters:
  ///   - tokens: the tokens that it read.
  ///   - seconds: what it took, with the evaluation after it.
  ///   - evaluated: whether there was one.
  mutating func add(tokens: Int, seconds: Double, _ evaluated: Bool) {
    steps += 1
    all = (all.tokens + tokens, all.seconds + seconds)
    guard !evaluated else {
      evaluation = max(0, seconds - (step ?? seconds))
      return
    }
    plain = (plain.steps + 1, plain.tokens + tokens, plain.seconds + seconds)
    // The first step makes buffers and plans. Later ones count for about twenty steps: the machine may get busy.
    let weight = plain.steps <= 2 ? 1 : max(1 / Double(plain.steps - 1), 0.05)
    step = (step ?? seconds) * (1 - weight) + seconds * weight
  }

  /// Tokens a second. Steps that end with an evaluation are not counted, unless there are no others.
  var tokensPerSecond: Double {
    let (tokens, seconds) = plain.tokens > 0 ? (plain.tokens, plain.seconds) : all
    return seconds > 0 ? Double(tokens) / seconds : 0
  }

  /// Seconds until the training is finished: its steps, its evaluations, and the test at the end.
  /// - Parameters:
  ///   - done: steps that are done.
  ///   - configuration: how many there are, and how often it is evaluated.
  func secondsLeft(after done: Int, of configuration: TrainingConfiguration) -> Double {
    guard steps > 0 else { return 0 }
    let step = step ?? all.seconds / Double(steps)
    // Forward is about a third of a step's operations.
    let batches = Double(configuration.evaluationBatches) / Double(configuration.accumulation)
    let evaluation = evaluation ?? step * batches / 3
    let every = configuration.evaluateEvery, last = configuration.steps
    let isLastExtra = done < last && (every == 0 || last % every > 0)
    let evaluations = (every > 0 ? last / every - done / every : 0) + (isLastExtra ? 1 : 0)
    return step * Double(last - done) + evaluation * Double(evaluations + 1)
  }
}
