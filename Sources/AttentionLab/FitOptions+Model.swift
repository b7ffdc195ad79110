import Analysis
import ArgumentParser
import Basics
import Commands
import LeastSquares
import Pages
import ScalingLaws

/// The error model and how intervals are found.
struct FitModelOptions: ParsableArguments {
  @Option(help: "What is minimised of the residuals.")
  var loss = LossName.squares

  @Option(help: "Huber's delta, in the chosen space (default 1e-3).")
  var delta: Double?

  @Option(help: "Where residuals are taken; log: relative errors.")
  var space = FitSpace.log

  @Option(help: "Drop the K rows with the largest response; they are named.")
  var dropLargest = 0

  @Option(help: "Resamples for bootstrap intervals.")
  var bootstrap = 0

  @Option(help: "Seed of the resampling, which draws as numpy.random.seed and choice do.")
  var seed: UInt64 = 42

  @Option(help: "The method of the intervals. Default: by loss and resamples.")
  var interval: IntervalMethod?

  @Option(help: "Probability of the intervals.")
  var confidence = 0.95

  @Option(help: "Threads (default: all cores).")
  var threads = 0

  @Flag(inversion: .prefixedNo, help: "Refit without single rows, to say which decide the answer.")
  var influence = true

  /// The options of the library.
  func options(law: FitLawOptions) throws -> FitOptions {
    var options = FitOptions(space: space, loss: try resolvedLoss())
    if let interval {
      if interval == .percentile || interval == .bca, bootstrap < 20 {
        throw UsageError("--interval \(interval.rawValue): give at least 20 resamples with --bootstrap")
      }
      options.interval = interval
    }
    guard bootstrap == 0 || bootstrap >= 20 else {
      throw UsageError("--bootstrap \(bootstrap): at least 20 resamples are needed for an interval")
    }
    guard threads >= 0 else { throw UsageError("--threads \(threads): it must not be negative") }
    options.dropLargest = dropLargest
    options.resamples = bootstrap
    options.seed = seed
    options.confidence = confidence
    options.threads = threads
    options.influence = influence
    options.starts = law.starts
    options.start = try FitLawOptions.pairs(law.start, option: "--start")
    options.onlyGivenStart = law.onlyStart
    options.fixed = try FitLawOptions.pairs(law.fix, option: "--fix")
    options.domains = try law.domains()
    if law.onlyStart, options.start.isEmpty { throw UsageError("--only-start: give the start with --start") }
    return options
  }

  private func resolvedLoss() throws -> Loss {
    guard delta == nil || loss == .huber else { throw UsageError("--delta: it belongs to --loss huber") }
    return switch loss {
    case .squares: .squares
    case .absolute: .absolute
    case .huber: .huber(delta: delta ?? 1e-3)
    }
  }
}

/// What is asked of a fit, and where the answers go.
struct FitAskOptions: ParsableArguments {
  @Option(help: "Predict at a point (repeatable): 'N=7e10,D=1.4e12'.")
  var predict: [String] = []

  @Option(help: "Compute-optimal N and D for this many floating-point operations.")
  var budget: Double?

  @Option(help: "k in C = k·N·D.")
  var flopsPerToken = 6.0

  @Option(help: "Replicate the design K times from its own estimates: how often do intervals cover them?")
  var calibrate = 0

  @Flag(help: "With --by and one variable: where the groups' curves meet.")
  var crossovers = false

  @Option(help: "Warn when a prediction lies farther than this ratio beyond the data.")
  var extrapolation = 4.0

  @Option(help: "Draw data, curves, bands and residuals: .svg, .png or .pdf.")
  var plot: String?

  @Option(help: "Write fits.csv: a row per parameter.")
  var out: String?

  @Flag(help: "Print JSON.")
  var json = false

  /// Adds predictions and allocation to a record.
  func answer(_ record: inout FitRecord) throws {
    for text in predict { try add(prediction: text, to: &record) }
    if calibrate > 0 {
      let found = CoverageCheck(record.fit, replications: calibrate, seed: record.fit.options.seed)
      record.calibration = found
    }
    if let budget { try add(budget: budget, to: &record) }
  }

  private func add(prediction text: String, to record: inout FitRecord) throws {
    let (own, columns) = (record.fit.form.variables, record.fit.data.names)
    var values = try FitLawOptions.pairs(text, option: "--predict", names: columns + own)
    // A form's own names serve where the columns have others.
    for (own, column) in zip(own, columns) where values[column] == nil {
      if let value = values.removeValue(forKey: own) { values[column] = value }
    }
    let plain: Prediction
    do {
      plain = try record.fit.predict(values)
    } catch {
      throw UsageError("--predict \(shown(text)): \(error)")
    }
    let prediction = record.selection?.predict(at: plain.x) ?? plain
    record.predictions.append(prediction)
    record.warnBeyond(prediction.extrapolation, limit: extrapolation, "\(shown(text)) lies")
    if !prediction.value.isFinite {
      record.warn("no-value", "the law has no finite value at \(shown(text))")
    } else if prediction.low == nil || prediction.high == nil {
      let why =
        record.fit.options.space == .log && prediction.value <= 0
        ? ": a value that is not positive has none in log space" : ""
      record.warn("no-interval", "the prediction at \(shown(text)) has no finite interval\(why)")
    }
  }

  private func add(budget: Double, to record: inout FitRecord) throws {
    let allocation = try record.fit.allocation(budget: budget, flopsPerParameterToken: flopsPerToken)
    record.allocation = allocation
    record.warnBeyond(allocation.extrapolation, limit: extrapolation, "the budget \(budget) lies")
    record.warnBeyond(
      record.fit.extrapolation(to: [allocation.parameters.value, allocation.tokens.value]),
      limit: extrapolation, "the budget's sizes lie")
    do {
      record.isoFLOP = try IsoFLOP(record.fit, flopsPerParameterToken: flopsPerToken)
    } catch {
      record.warn("no-isoflop", error.description)
    }
    guard let method = record.isoFLOP else { return }
    let line = method.parametersLaw.extrapolation(to: [budget])
    record.warnBeyond(line, limit: extrapolation, "the budget \(budget) lies", beyond: "the IsoFLOP budgets")
    if let factor = method.bias?.factor(at: budget), abs(factor - 1) > 0.01 {
      record.warn(
        "isoflop-bias",
        "parabolas through losses of the fitted law itself, at these sizes, have their minimum at "
          + "\(FitText.number(factor)) times its best N: IsoFLOP's N is off by that factor")
    }
  }
}

extension FitRecord {
  fileprivate mutating func warn(_ code: String, _ text: String) {
    warnings.append(FitWarning(code: code, text: text))
  }

  /// Warns of what lies farther beyond the data than the limit.
  fileprivate mutating func warnBeyond(
    _ ratio: Double, limit: Double, _ what: String, beyond: String = "the data"
  ) {
    guard ratio > limit else { return }
    let rounded = ratio < 1e6 ? (ratio * 10).rounded() / 10 : ratio
    warn("extrapolation", "\(what) \(rounded) times beyond \(beyond) (limit \(limit))")
  }
}
