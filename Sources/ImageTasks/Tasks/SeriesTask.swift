import Basics
import RealModule
import Settings
import Tasks
import Tensors

/// A multivariate time series whose channels are copies of one another at a distance: which distance, or what comes next?
///
/// u is a stationary autoregression, `u_t = ρ·u_{t−1} + √(1 − ρ²)·ε_t` with ε ~ N(0, 1). Channel c of step t is `u_{t + c·lag} + noise·ε'`:
/// the last channel is ahead. The lag is one of `1 … lags`, each as likely. `ask: lag` asks for it (class lag − 1); `ask: next` asks
/// in which of `bins` equally likely bins of N(0, 1) the next value of channel 0 falls, which channel 1 showed `lag − 1` steps before
/// the end. Either takes a comparison of steps at a distance. A step is a row of `channels` numbers.
public struct SeriesTask: GeneratedTask {
  /// What is asked for.
  public enum Question: String, CaseIterable, Hashable, Sendable {
    /// The distance of the channels.
    case lag
    /// The bin of channel 0's next value.
    case next
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// Steps.
    public var steps = 64
    /// Numbers of a step.
    public var channels = 3
    /// Distances that there are.
    public var lags = 6
    /// What is asked for.
    public var ask = Question.lag
    /// Bins of the next value.
    public var bins = 4
    /// ρ.
    public var memory = 0.7
    /// The standard deviation of the noise.
    public var noise = 0.3

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("steps", \.steps, in: 1...(1 << 20), unit: "steps", help: "steps of a series"),
      .integer("channels", \.channels, in: 2...256, help: "numbers of a step"),
      .integer("lags", \.lags, in: 2...1024, unit: "steps", help: "the largest distance of two channels"),
      .choice("ask", \.ask, help: "what is asked for: the distance, or the bin of the next value"),
      .integer("bins", \.bins, in: 2...64, help: "equally likely bins of the next value"),
      .real("memory", \.memory, in: 0...0.999, help: "ρ of the autoregression"),
      .real("noise", \.noise, in: 0...10, help: "the standard deviation of the noise; the series has 1"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "series", title: "Multivariate series",
    paper: "none: drawn here",
    idea: "by how many steps the channels of a series follow each other, or what comes next")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    (self.configuration, self.key) = (configuration, key)
  }

  /// A distance or a bin.
  public var kind: TaskKind { .classification }
  /// Rows are no tokens.
  public var vocabularySize: Int { 1 }
  /// Steps.
  public var length: Int { configuration.steps }
  /// Channels.
  public var featureWidth: Int { configuration.channels }
  /// Distances, or bins.
  public var classCount: Int { configuration.ask == .lag ? configuration.lags : configuration.bins }

  /// Draws a series.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let (steps, channels, rho) = (configuration.steps, configuration.channels, configuration.memory)
    let lag = 1 + generator.integer(below: configuration.lags)
    var state = generator.normal()
    var u = [state]
    for _ in 0..<steps + (channels - 1) * lag {
      state = rho * state + (1 - rho * rho).squareRoot() * generator.normal()
      u.append(state)
    }
    var values: [Float] = []
    for step in 0..<steps {
      for channel in 0..<channels {
        values.append(Float(u[step + channel * lag] + configuration.noise * generator.normal()))
      }
    }
    let label = configuration.ask == .lag ? lag - 1 : bin(of: u[steps])
    return Example(
      features: values, rows: steps, label: Int32(label),
      identity: u.map { Int32(($0 * 1024).rounded()) })
  }

  /// Which of equally likely parts of N(0, 1) holds a value: `⌊bins·Φ(x)⌋`.
  private func bin(of x: Double) -> Int {
    let share = Double.erfc(-x / 2.0.squareRoot()) / 2
    return min(configuration.bins - 1, Int(share * Double(configuration.bins)))
  }
}
