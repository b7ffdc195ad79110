import Attention
import AttentionCore
import Basics
import Foundation
import RankCases
import Ranks
import Settings
import Tensors

/// What `attnlab-ranks` does.
enum RankLab {
  /// A check that did not pass, or a use that is not known.
  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
  }

  /// Runs a command on all ranks; 0 when it passed.
  static func main(_ arguments: [String]) -> Int32 {
    do {
      if arguments.first == "--threads", arguments.count > 2, let ranks = Int(arguments[1]) {
        let command = Array(arguments.dropFirst(2))
        _ = try ThreadGroup.run(ranks) { try run(command, on: $0) }
        return 0
      }
      return try processes(arguments)
    } catch {
      FileHandle.standardError.write(Data("error: \(error)\n".utf8))
      return 2
    }
  }

  #if MPI
    private static func processes(_ arguments: [String]) throws -> Int32 {
      let group = try MPIGroup()
      do { try run(arguments, on: group) } catch {
        group.fail("\(error)")
        throw error
      }
      try group.finish()
      return 0
    }
  #else
    private static func processes(_ arguments: [String]) throws -> Int32 {
      throw Failure("built without MPI: swift build --traits MPI, or use --threads P")
    }
  #endif

  private static func run(_ arguments: [String], on communicator: any Communicator) throws {
    let number = arguments.count > 1 ? Int(arguments[1]) : nil
    switch (arguments.first, number) {
    case ("check", nil): try check(communicator)
    case ("long", let length?): try long(length, communicator)
    case ("fail", let rank?): try fail(rank, communicator)
    case ("vanish", let rank?): try vanish(rank, communicator)
    default: throw Failure("usage: attnlab-ranks [--threads P] check | long N | fail R | vanish R")
    }
  }

  /// What all ranks come to, on every rank; the traffic is the rank's own.
  static func whole(_ part: RankCase.Part, _ communicator: any Communicator) throws -> RankCase.Whole {
    RankCase.Whole(
      output: try communicator.whole(part.output, part.queries).array(),
      lse: try communicator.whole(part.lse, part.queries).array(),
      query: try communicator.whole(part.gradient.query, part.queries).array(),
      key: try communicator.whole(part.gradient.key, part.keys).array(),
      value: try communicator.whole(part.gradient.value, part.keys).array(), forward: [part.forward],
      backward: [part.backward], peakBytes: [part.peakBytes])
  }

  /// Every variant with a fixed pattern against its definition, at lengths that divide by nothing, and against the same
  /// ranks as threads, bit by bit.
  static func check(_ communicator: any Communicator) throws {
    var cases = 0
    for type in Catalog.standard.types where type is any PatternVariant.Type {
      for settings in Conformance.samples(of: type) {
        for (length, isCausal) in [(1, true), (37, false), (131, true)] {
          let shape = try AttentionShape(
            batch: 2, queryHeads: 4, keyHeads: 2, queryLength: length, headDim: 8, isCausal: isCausal,
            keyLengths: [length, (length + 1) / 2])
          guard
            let variant = try? type.make(settings: settings, shape: shape, key: RandomKey(seed: 1)),
            variant.operandsRead == Operand.standard
          else { continue }
          let name = "\(variant.card.id) \(variant.configurationSummary), \(shape.summary)"
          try check(RankCase(variant), name, communicator)
          cases += 1
        }
      }
    }
    if communicator.rank == 0 {
      print("\(cases) cases on \(communicator.count) ranks agree with the definition")
    }
  }

  private static func check(_ test: RankCase, _ name: String, _ communicator: any Communicator) throws {
    let options = RankOptions.small()
    let part = try test.run(on: communicator, options)
    let whole = try whole(part, communicator)
    // One judge is enough; the others wait for it at the next case.
    guard communicator.rank == 0 else { return }
    for (quantity, error) in try test.errors(whole) where !(error <= 1) {
      throw Failure("\(name), \(communicator.count) ranks: \(quantity) is off by \(error) of its bound")
    }
    let threads = try test.run(communicator.count, options)
    guard whole.hasBits(of: threads) else {
      throw Failure("\(name), \(communicator.count) ranks: processes give other bits than threads")
    }
    func sent(_ traffic: Traffic) -> [Int] { [traffic.messages, traffic.bytesSent] }
    guard sent(part.forward) == sent(threads.forward[0]), sent(part.backward) == sent(threads.backward[0])
    else {
      throw Failure("\(name), \(communicator.count) ranks: processes send other messages than threads")
    }
  }

  /// A rank that cannot go on: all end, with its reason.
  static func fail(_ rank: Int, _ communicator: any Communicator) throws {
    if communicator.rank == rank { throw Failure("it was told to fail") }
    _ = try communicator.receive(1, .float32, from: rank, tag: .exchange, ledger: nil).wait()
  }

  /// A rank that is gone without a word, as after a kill for memory.
  static func vanish(_ rank: Int, _ communicator: any Communicator) throws {
    if communicator.rank == rank { kill(getpid(), SIGKILL) }
    _ = try communicator.receive(1, .float32, from: rank, tag: .exchange, ledger: nil).wait()
  }
}
