import Basics

extension Comparison {
  /// The comparison as JSON: a part a pass and shape.
  public var json: JSONValue {
    .object([
      "baseline": .string(baselineName),
      "parts": .array(
        parts.map { part in
          .object([
            "pass": .string(part.panel.pass), "title": .string(part.panel.title), "n": .number(part.length),
            "variants": .array(part.lines.map { Self.json($0, part) }),
            "failures": .array(
              part.panel.failures.map {
                .object([
                  "variant": .string($0.variant), "n": .number($0.keyLength), "status": .string($0.status),
                  "reason": .string($0.reason),
                ])
              }),
          ])
        }),
    ])
  }

  private static func json(_ line: Line, _ part: Part) -> JSONValue {
    .object([
      "variant": .string(line.series.variant), "label": .string(line.series.label),
      "time_exponent": json(line.time), "memory_exponent": json(line.memory),
      "crossover": json(line.crossover),
      "lengths": .array(
        line.series.rows.map { row in
          let base = row.keyLength.flatMap { part.baseline?.row(at: $0)?.secondsMedian }
          return .object([
            "n": .number(row.keyLength), "seconds_median": .number(row.secondsMedian),
            "seconds_p20": .number(row.secondsP20), "seconds_p80": .number(row.secondsP80),
            "fraction_of_peak": .number(row.fractionOfPeak), "memory_bytes": .number(row.memoryBytes),
            "peak_rss_bytes": .number(row.peakRSSBytes), "predicted_bytes": .number(row.predictedBytes),
            "error_rel": .number(row.errorRel),
            "speedup": .number(Metric.speedup.value(row, baselineSeconds: base)),
          ])
        }),
    ])
  }

  private static func json(_ growth: Growth) -> JSONValue {
    guard let exponent = growth.exponent else {
      return .object(["value": .null, "low": .null, "high": .null, "objection": .text(growth.objection)])
    }
    return .object([
      "value": .double(exponent.value), "low": .number(exponent.low), "high": .number(exponent.high),
    ])
  }

  private static func json(_ verdict: CrossoverVerdict) -> JSONValue {
    switch verdict {
    case .none: .null
    case .always: .object(["kind": .string("always_faster")])
    case .never: .object(["kind": .string("always_slower")])
    case .meets(let crossover):
      .object([
        "kind": .string(crossover.firstIsLowerAbove ? "faster_from" : "slower_from"),
        "n": .double(crossover.x),
        "low": .number(crossover.low), "high": .number(crossover.high),
        "extrapolation": .double(crossover.extrapolation),
      ])
    }
  }
}
