import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Tensors

/// What a run would cost, from closed forms alone: for `--dry-run`.
public struct Forecast: Foretold {
  /// One cell's prediction.
  public struct Line: Sendable {
    /// The cell.
    public let cell: Cell
    /// Predicted seconds of the whole cell: all its passes, and starting the process.
    public let seconds: Double
    /// Predicted bytes of the pass.
    public let bytes: Double
    /// Why it cannot be measured, or why it will not be.
    public let reason: String?
  }

  /// All cells.
  public let lines: [Line]
  private let gflops: Double

  /// The fraction of the peak that a pass is assumed to reach.
  public static let assumedShare = 0.4
  /// Starting a process, reading text, making inputs and comparing sampled rows.
  private static let overheadSeconds = 0.15

  /// Predicts all cells.
  /// - Parameters:
  ///   - cells: what is predicted.
  ///   - catalog: the variants.
  ///   - memoryLimit: bytes that a pass may use; `nil`: three quarters of the machine's.
  ///   - peakGflops: the peak of the threads, where it is known; `nil`: it is measured.
  /// - Complexity: a plan of every variant at every shape.
  public init(_ cells: [Cell], catalog: Catalog, memoryLimit: Int?, peakGflops: Double? = nil) {
    let limit = memoryLimit ?? ProcessMemory.defaultLimit
    let threads = cells.map(\.threads).max() ?? 1
    // More threads than processors are no faster, and are not started to find that out.
    let workers = min(threads, Parallel.processorCount)
    let peak =
      peakGflops ?? MachinePeak.gflops(threads: workers, instructionSet: InstructionSet.default.rawValue)
    let gflops = (peak ?? 50 * Double(workers)) * Self.assumedShare
    self.gflops = gflops
    lines = cells.map { Self.line($0, catalog, limit: limit, gflops: gflops) }
  }

  private static func line(_ cell: Cell, _ catalog: Catalog, limit: Int, gflops: Double) -> Line {
    do {
      let shape = try cell.shape()
      let operands = try catalog.type(of: cell.variant).operands(settings: cell.settings)
      let least = Cost.inputOutputBytes(of: cell.pass, shape: shape, operands: operands)
      guard least <= Double(limit) else {
        let reason =
          "out_of_memory: over \(Quantity.describe(bytes: Double(limit))) for inputs and results alone"
        return Line(cell: cell, seconds: overheadSeconds, bytes: least, reason: reason)
      }
      let variant = try catalog.make(
        cell.variant, settings: cell.settings, shape: shape, key: RandomKey(seed: cell.seed))
      let cost = variant.cost(of: cell.pass)
      let bytes = cost.workspaceBytes + cost.inputOutputBytes
      // Tiles and chunks are computed whole, so what is executed sets the time.
      let pass = cost.flops * max(1, cost.paddingOverhead ?? 1) / (gflops * 1e9)
      let timed = min(Double(cell.repeats) * pass, max(cell.budgetSeconds, 3 * pass))
      let seconds = overheadSeconds + Double(max(1, cell.warmup)) * pass + timed
      let reason =
        bytes > Double(limit) ? "out_of_memory: over \(Quantity.describe(bytes: Double(limit)))" : nil
      return Line(
        cell: cell, seconds: reason == nil ? seconds : overheadSeconds, bytes: bytes, reason: reason)
    } catch {
      return Line(cell: cell, seconds: overheadSeconds, bytes: .nan, reason: "unsupported: \(error)")
    }
  }

  /// A table with a sum below.
  public var text: String {
    var table = TextTable(["what", "time", "memory", "cell", ""])
    let names = CellNames(lines.map(\.cell))
    for line in lines {
      table.add([
        names[line.cell], "~" + Quantity.describe(seconds: line.seconds),
        Quantity.describe(bytes: line.bytes), line.cell.id, line.reason ?? "",
      ])
    }
    let total = lines.reduce(0) { $0 + $1.seconds }
    return table.text + "\n\(counted(lines.count, "cell")), about \(Quantity.describe(seconds: total))"
      + " (closed forms at \(Quantity.significant(gflops, 2)) GFLOP/s)"
  }

  /// The same as JSON.
  public var json: JSONValue {
    let names = CellNames(lines.map(\.cell))
    return .object([
      "cells": .array(
        lines.map {
          .object([
            "cell_id": .string($0.cell.id), "experiment": .string($0.cell.experiment),
            "variant": .string($0.cell.variant), "pass": .string($0.cell.pass.rawValue),
            "query_length": .int($0.cell.queryLength), "key_length": .int($0.cell.keyLength),
            "label": .string(names[$0.cell]), "predicted_seconds": .double($0.seconds),
            "predicted_bytes": .double($0.bytes),
            "reason": .text($0.reason),
          ])
        }),
      "seconds": .double(lines.reduce(0) { $0 + $1.seconds }),
    ])
  }
}
