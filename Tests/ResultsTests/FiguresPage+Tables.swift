import AttentionCore
import Basics
import Foundation
import Records
import Tensors
import Trainings

extension FiguresPage {
  /// The tables in their order.
  static var tables: [Table] { [machines, full, sparse, chosen, hashed, stored, recurrent, steps] }

  private typealias Query = FiguresColumn.Query

  /// A line of fractions of the limit.
  private static func limit(_ label: String, _ query: Query, _ threads: Threads = .oneAndAll) -> Line {
    Line(label: label) { column in column.text(column.rows(query), ofThreads: threads, column.limit) }
  }

  private static var machines: Table {
    Table(
      title: "Machines", note: "",
      lines: [
        Line(label: "processor") { $0.processor },
        Line(label: "instruction set") { $0.instructionSet },
        Line(label: "threads that are all") { "\($0.processors)" },
        Line(label: "measured peak, GFLOP/s: one; all threads") { $0.limits("peak_gflops") },
        Line(label: "measured bandwidth, GB/s: one; all threads") { $0.limits("bandwidth_gb_per_s") },
        Line(label: "rows that were timed beside nothing else, of all") { column in
          let (quiet, all) = column.bench.quietRows
          return all == 0 ? "" : "\(quiet) of \(all)"
        },
      ])
  }

  private static var full: Table {
    var lines: [Line] = []
    for isCausal in [false, true] {
      for dim in [64, 128] {
        for pass in [PassKind.forward, .backward] {
          let name = (isCausal ? "causal, " : "") + "n = 4096, d = \(dim), \(pass.rawValue): one; all threads"
          lines.append(
            limit(name, Query(experiment: "full", pass: pass, headDim: dim, isCausal: isCausal)))
        }
      }
    }
    for dim in [40, 80, 96] {
      lines.append(
        Line(label: "n = 4096, d = \(dim), one thread: forward; backward") { column in
          passes(column) {
            Query(experiment: "head-sizes", pass: $0, headDim: dim)
          } figure: {
            column.limit($0)
          }
        })
    }
    lines.append(
      limit("n = 131072, d = 64, forward: all threads", Query(experiment: "scale", length: 131072), .all))
    return Table(title: "Full attention", note: "Of the measured multiply-add peak.", lines: lines)
  }

  /// Forward and backward in one cell.
  private static func passes(
    _ column: FiguresColumn, _ query: (PassKind) -> Query,
    figure: (MeasurementRow) -> (text: String, unit: String)?
  ) -> String {
    let rows = [PassKind.forward, .backward].compactMap { column.rows(query($0)).last }
    return column.text(rows, ofThreads: .all, figure)
  }

  private static var sparse: Table {
    let band = ["left": "256", "right": "256"], dilated = ["left": "64", "right": "64", "dilation": "4"]
    func query(_ variant: String, _ settings: [String: String] = [:]) -> (PassKind) -> Query {
      { Query(experiment: "sparse", variant: variant, settings: settings, pass: $0) }
    }
    var lines: [Line] = [
      Line(label: "±256, needed pairs: of the peak") { column in
        passes(column, query("sliding-window", band)) { column.limit($0) }
      },
      Line(label: "±256, executed pairs: of the peak") { column in
        passes(column, query("sliding-window", band)) { column.executed($0) }
      },
      Line(label: "±64 dilated by 4, needed pairs: of the peak") { column in
        passes(column, query("sliding-window", dilated)) { column.limit($0) }
      },
    ]
    let patterns = [
      ("±256", "sliding-window", band), ("local-global", "local-global", [:]),
      ("random-sparse", "random-sparse", [:]), ("chunks of 512", "chunked", [:]),
    ]
    for (name, variant, settings) in patterns {
      lines.append(
        Line(label: "\(name), executed pairs: of full attention's rate") { column in
          passes(column, query(variant, settings)) { column.executed($0, of: "full") }
        })
    }
    lines.append(
      Line(label: "±256: times as fast as full attention") { column in
        passes(column, query("sliding-window", band)) { row in
          let full = column.rows(query("full")(row.pass ?? .forward)).last
          guard let seconds = row.secondsMedian, let base = full?.secondsMedian else { return nil }
          return (Quantity.significant(base / seconds, 3), "")
        }
      })
    lines.append(
      Line(label: "±256, eight heads, n = 1048576, forward: time") { column in
        column.text(column.rows(Query(experiment: "million", variant: "sliding-window")), ofThreads: .all) {
          $0.secondsMedian.map { (Quantity.describe(seconds: $0), "") }
        }
      })
    return Table(
      title: "Sparse patterns",
      note: "n = 16384, d = 64, two heads where nothing else is said, all threads: forward; backward.",
      lines: lines)
  }

  private static var chosen: Table {
    let variants: [(String, String, [String: String])] = [
      ("moba, blocks of 128", "moba", ["block_size": "128"]),
      ("moba, blocks of 512", "moba", ["block_size": "512"]), ("nsa", "nsa", [:]),
      ("quest (forward)", "quest", [:]),
    ]
    return Table(
      title: "Keys that are chosen by data",
      note: "n = 16384, d = 64, causal, all threads: forward; backward.",
      lines: variants.flatMap { name, variant, settings in
        let query = { (pass: PassKind) in
          Query(experiment: "selected", variant: variant, settings: settings, pass: pass)
        }
        return [
          Line(label: "\(name), executed pairs: of a window's rate") { column in
            passes(column, query) { column.executed($0, of: "sliding-window") }
          },
          Line(label: "\(name), choosing: of the forward pass") { column in
            column.text(column.rows(query(.forward)), ofThreads: .all) { row in
              guard let part = row.secondsChoosing, let seconds = row.secondsMedian else { return nil }
              return FiguresColumn.percent(part / seconds)
            }
          },
        ]
      })
  }

  private static var hashed: Table {
    Table(
      title: "Hashed keys",
      note:
        "`lsh` in chunks of 64, n = 4096, d = 64, eight heads, needed pairs, of the peak: one; all threads.",
      lines: [("4", "4 hashes"), ("1", "1 hash")].flatMap { hashes, name in
        [PassKind.forward, .backward].map { pass in
          limit(
            "\(name), \(pass.rawValue)",
            Query(experiment: "hashed", variant: "lsh", settings: ["hashes": hashes], pass: pass))
        }
      })
  }

  private static var stored: Table {
    var lines: [Line] = [64, 128].map { (dim: Int) in
      Line(label: "bfloat16, n = 4096, d = \(dim), forward: times as fast as float32") { column in
        column.text(
          column.rows(Query(experiment: "bfloat16", headDim: dim, precision: .bfloat16)),
          ofThreads: .oneAndAll
        ) { row in column.bench.figures(of: row).timesFloat32.map { (String(format: "%.2f", $0), "") } }
      }
    }
    for heads in [1, 8] {
      for precision in [Precision.float32, .bfloat16] {
        lines.append(
          limit(
            "decoding, 131072 keys, \(counted(heads, "query head")) on one key head, \(precision.rawValue)",
            Query(experiment: "decoding", pass: .decode, heads: heads, precision: precision)))
      }
    }
    return Table(
      title: "bfloat16 and decoding",
      note:
        "One; all threads. Decoding is beside the measured bandwidth of memory or the peak, whichever is nearer; above "
        + "100 % a cache holds part of the keys.",
      lines: lines)
  }

  private static var recurrent: Table {
    let variants = ["linear", "retention", "gla", "mamba2", "gated-delta", "kda"]
    var lines: [Line] = []
    for dim in [64, 128] {
      for pass in [PassKind.forward, .backward] {
        lines += variants.map { variant in
          limit(
            "`\(variant)`, n = 4096, d = \(dim), \(pass.rawValue)",
            Query(experiment: "recurrences", variant: variant, pass: pass, length: 4096, headDim: dim))
        }
      }
    }
    lines += ["retention", "gated-delta", "kda"].flatMap { variant in
      [PassKind.forward, .backward].map { pass in
        limit(
          "`\(variant)`, one head, n = 131072, d = 64, \(pass.rawValue)",
          Query(experiment: "recurrences-one-head", variant: variant, pass: pass))
      }
    }
    return Table(
      title: "Recurrences", note: "Eight heads where nothing else is said, of the peak: one; all threads.",
      lines: lines)
  }

  private static var steps: Table {
    Table(
      title: "Training steps",
      note:
        "Warm, at the median, of the peak: one; all threads. The models are those of the preset's experiment `steps`.",
      lines: [64, 256].map { width in
        Line(label: "width \(width)") { column in
          let found = column.trainings.compactMap { row -> (threads: Int, text: String, unit: String)? in
            guard row.isTraining, row.experiment.hasPrefix("steps"),
              row.settingsByPath["model.width"] == "\(width)",
              let fraction = column.timings[row.runID]?.fractionOfPeak
            else { return nil }
            let text = FiguresColumn.percent(fraction)
            return (row.threads ?? 1, text.text, text.unit)
          }
          return FiguresColumn.joined(found.sorted { $0.threads < $1.threads }, .oneAndAll)
        }
      })
  }
}
