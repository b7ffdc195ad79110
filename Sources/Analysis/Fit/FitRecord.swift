import Basics
import LeastSquares
import ScalingLaws

/// A fit with everything that is said about it: what `attnlab fit` prints, as JSON and as rows of `fits.csv`.
public struct FitRecord: Sendable {
  /// The value of the grouping column, with the machine where several were told apart.
  public let group: String?
  /// The machine of the rows, where those of several were told apart.
  public var machine: String?
  /// The fit.
  public let fit: Fit
  /// What the response is called in plots.
  public var responseName = "response"
  /// The comparison that chose it, for `--form auto`.
  public var selection: Selection?
  /// Predictions that were asked for, in order.
  public var predictions: [Prediction] = []
  /// Compute-optimal sizes, when a budget was given.
  public var allocation: Allocation?
  /// The IsoFLOP method beside it.
  public var isoFLOP: IsoFLOP?
  /// How often intervals on this design cover its own estimates, when asked for.
  public var calibration: CoverageCheck?
  /// Warnings of the fit and of what was asked of it.
  public var warnings: [FitWarning]

  /// A record of a fit.
  public init(group: String?, fit: Fit) {
    self.group = group
    self.fit = fit
    warnings = fit.warnings
  }

  /// The object of `attnlab fit --json`.
  public var json: JSONValue {
    var members: [JSONValue.Member] = []
    func add(_ key: String, _ value: JSONValue) { members.append(.init(key: key, value: value)) }
    add("group", .text(group))
    add("machine", .text(machine))
    add("form", .string(fit.form.name))
    add("formula", .string(fit.form.formula))
    add("variables", .array(fit.data.names.map(JSONValue.string)))
    add("loss", .string(fit.options.loss.name))
    add("delta", .number(fit.options.loss.delta))
    add("space", .string(fit.options.space.rawValue))
    add("rows_used", .int(fit.data.count))
    add("rows_dropped", .int(fit.droppedRows.count))
    add("dropped_lines", .array(fit.droppedRows.map(JSONValue.int)))
    add("objective", .double(fit.objective))
    add("rss", .double(fit.rss))
    add("aicc", .number(fit.aicc))
    add("bic", .double(fit.bic))
    add("confidence", .double(fit.options.confidence))
    add("parameters", .object(fit.parameters.map { .init(key: $0.name, value: Self.json($0)) }))
    add("correlation", correlation)
    add("condition_number", .number(fit.conditionNumber))
    add("starts", .int(fit.starts))
    add("starts_at_best", .int(fit.startsAtBest))
    add("distinct_minima", .int(fit.distinctMinima))
    add("converged", .bool(fit.converged))
    add(
      "warnings",
      .array(warnings.map { .object(["code": .string($0.code), "text": .string($0.text)]) }))
    add("predictions", .array(predictions.map(json)))
    add("allocation", allocation.map { json($0) } ?? .null)
    add("local_slopes", slopes)
    add("influence", influence)
    add("bootstrap", bootstrap)
    add("selection", selection.map(Self.json) ?? .null)
    add("calibration", calibration.map(Self.json) ?? .null)
    return .object(members)
  }

  private static func json(_ calibration: CoverageCheck) -> JSONValue {
    .object([
      "replications": .int(calibration.replications), "failures": .int(calibration.failures),
      "parameters": .object(
        calibration.parameters.map { p in
          .init(
            key: p.name,
            value: .object([
              "coverage": .double(p.share), "covered": .int(p.covered), "above": .int(p.above),
              "below": .int(p.below), "missing": .int(p.missing),
            ]))
        }),
    ])
  }

  private static func json(_ parameter: ParameterEstimate) -> JSONValue {
    .object([
      "value": .number(parameter.value), "standard_error": .number(parameter.standardError),
      "low": .number(parameter.low), "high": .number(parameter.high),
      "interval": .string(parameter.interval),
    ])
  }

  private static func json(_ interval: Interval) -> JSONValue {
    .object([
      "value": .double(interval.value), "standard_error": .number(interval.standardError),
      "low": .number(interval.low), "high": .number(interval.high),
    ])
  }

  private var correlation: JSONValue {
    .object(
      zip(fit.correlationNames, fit.correlation).map { name, row in
        JSONValue.Member(
          key: name,
          value: .object(zip(fit.correlationNames, row).map { .init(key: $0, value: .double($1)) }))
      })
  }

  private func json(_ prediction: Prediction) -> JSONValue {
    .object([
      "at": .object(zip(fit.data.names, prediction.x).map { .init(key: $0, value: .double($1)) }),
      "value": .double(prediction.value), "low": .number(prediction.low), "high": .number(prediction.high),
      "curve_low": .number(prediction.curveLow), "curve_high": .number(prediction.curveHigh),
      "extrapolation": .double(prediction.extrapolation),
    ])
  }

  private func json(_ allocation: Allocation) -> JSONValue {
    .object([
      "budget": .double(allocation.budget),
      "flops_per_parameter_token": .double(allocation.flopsPerParameterToken),
      "parameters": Self.json(allocation.parameters), "tokens": Self.json(allocation.tokens),
      "loss": Self.json(allocation.loss), "exponent": Self.json(allocation.exponent),
      "extrapolation": .double(allocation.extrapolation),
      "isoflop": isoFLOP.map { json($0, budget: allocation.budget) } ?? .null,
    ])
  }

  private func json(_ method: IsoFLOP, budget: Double) -> JSONValue {
    func exponent(_ fit: Fit) -> JSONValue { fit.parameters["b"].map { Self.json($0) } ?? .null }
    func size(_ fit: Fit) -> JSONValue {
      let found = fit.predict(at: [budget])
      return .object([
        "value": .double(found.value), "low": .number(found.curveLow), "high": .number(found.curveHigh),
      ])
    }
    return .object([
      "budgets_used": .int(method.curves.count), "budgets_refused": .int(method.refusals.count),
      "exponent": exponent(method.parametersLaw), "tokens_exponent": exponent(method.tokensLaw),
      "parameters": size(method.parametersLaw), "tokens": size(method.tokensLaw),
      "extrapolation": .double(method.parametersLaw.extrapolation(to: [budget])),
      "bias_factor": .number(method.bias?.factor(at: budget)),
      "bias_exponent": .number(method.bias?.exponent),
      "curves": .array(
        method.curves.map { curve in
          .object([
            "budget": .double(curve.budget), "runs": .int(curve.losses.count),
            "parameters": Self.json(curve.optimum), "loss": .double(curve.loss),
          ])
        }),
    ])
  }

  /// Where the local slope is given: at both ends of the data and in the middle.
  public var slopePlaces: [Double] {
    guard fit.data.columns.count == 1, let low = fit.data.columns[0].min(),
      let high = fit.data.columns[0].max(),
      low > 0, high > low
    else { return [] }
    return [low, (low * high).squareRoot(), high]
  }

  private var slopes: JSONValue {
    .array(
      slopePlaces.map { x in
        let slope = fit.localSlope(at: x)
        return .object([
          "at": .double(x), "value": .number(slope.value), "low": .number(slope.low),
          "high": .number(slope.high),
        ])
      })
  }

  private var influence: JSONValue {
    guard let influence = fit.influence else { return .null }
    return .object([
      "single_rows": .array(
        influence.largest.map {
          .object([
            "parameter": .string($0.parameter), "line": .int($0.row),
            "shift_in_standard_errors": .double($0.standardErrors),
          ])
        }),
      "few_rows": .array(
        influence.few.map {
          .object([
            "parameter": .string($0.parameter), "lines": .array($0.rows.map(JSONValue.int)),
            "with": .double($0.from), "without": .double($0.to),
            "shift_in_standard_errors": .double($0.standardErrors),
            "standard_error_ratio": .number($0.errorRatio.isFinite ? $0.errorRatio : nil),
            "decisive": .bool($0.isDecisive),
          ])
        }),
      "outlying_lines": .array(influence.outlying.map(JSONValue.int)),
    ])
  }

  private var bootstrap: JSONValue {
    guard let bootstrap = fit.bootstrap else { return .null }
    return .object([
      "resamples": .int(bootstrap.replicates.count + bootstrap.failures),
      "failures": .int(bootstrap.failures), "clustered": .bool(bootstrap.clustered),
      "seed": Int(exactly: fit.options.seed).map(JSONValue.int) ?? .string("\(fit.options.seed)"),
    ])
  }

  private static func json(_ selection: Selection) -> JSONValue {
    let (verdict, names): (String, [String]) =
      switch selection.verdict {
      case .chosen(let name): ("chosen", [name])
      case .cannotDistinguish(let names): ("cannot distinguish", names)
      }
    return .object([
      "verdict": .string(verdict), "forms": .array(names.map(JSONValue.string)),
      "candidates": .array(
        selection.candidates.map { candidate in
          .object([
            "form": .string(candidate.fit.form.name), "delta_aicc": .double(candidate.deltaAICc),
            "delta_bic": .double(candidate.deltaBIC), "weight": .double(candidate.weight),
            "leave_one_out_error": .number(candidate.leaveOneOutError),
            "extrapolation_error": .number(candidate.extrapolationError),
          ])
        }),
      "refused": .array(
        selection.refusals.map { .object(["form": .string($0.form), "reason": .string($0.reason)]) }),
      "nested_tests": .array(
        selection.nestedTests.map {
          .object([
            "smaller": .string($0.smaller), "larger": .string($0.larger), "f": .double($0.statistic),
            "p": .double($0.probability),
          ])
        }),
    ])
  }
}
