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
  static func whole(
    _ test: RankCase, _ part: RankCase.Part, _ communicator: any Communicator
  ) throws -> RankCase.Whole {
    try test.whole(part, traffic: ([part.forward], [part.backward]), [part.peakBytes]) { get in
      guard let own = get(part) else { return [] }
      let counts = try communicator.gathered([Double(own.count)]).map { Int($0[0]) }
      return try zip(communicator.gathered(own, counts), counts).map { tensor, count in
        // Rows are what ranks have more or fewer of.
        guard own.rank == 4 else { return tensor.reshaped(own.shape) }
        let others = own.shape[0] * own.shape[1] * own.shape[3]
        return tensor.reshaped([own.shape[0], own.shape[1], count / others, own.shape[3]])
      }
    }
  }

  /// Every recurrence, and every variant with a fixed pattern, against its definition, at lengths that divide by nothing, and against
  /// the same ranks as threads, bit by bit. Every rank judges one case of as many as there are ranks, all at once.
  static func check(_ communicator: any Communicator) throws {
    var waiting: [Judged] = []
    let cases = try cases()
    for (number, test) in cases.enumerated() {
      let part = try test.run(on: communicator, .small())
      waiting.append(Judged(test: test, part: part, whole: try whole(test, part, communicator)))
      guard waiting.count == communicator.count || number == cases.count - 1 else { continue }
      if waiting.indices.contains(communicator.rank) { try judge(waiting[communicator.rank], communicator) }
      waiting = []
    }
    if communicator.rank == 0 {
      print("\(cases.count) cases on \(communicator.count) ranks agree with the definition")
    }
  }

  private static func cases() throws -> [RankCase] {
    var cases: [RankCase] = []
    for type in Catalog.standard.types
    where type is any PatternVariant.Type || type is any RecurrentVariant.Type {
      for settings in Conformance.samples(of: type) {
        for (length, isCausal) in [(1, true), (37, false), (131, true)] {
          let shape = try AttentionShape(
            batch: 2, queryHeads: 4, keyHeads: 2, queryLength: length, headDim: 8, isCausal: isCausal,
            keyLengths: [length, (length + 1) / 2])
          guard
            let variant = try? type.make(settings: settings, shape: shape, key: RandomKey(seed: 1)),
            variant is any RecurrentVariant || variant.operandsRead == Operand.standard
          else { continue }
          cases.append(try RankCase(variant))
        }
      }
    }
    return cases
  }

  /// A case with what all ranks come to.
  private struct Judged {
    var test: RankCase
    var part: RankCase.Part
    var whole: RankCase.Whole
  }

  private static func judge(_ own: Judged, _ communicator: any Communicator) throws {
    let variant = own.test.variant, (rank, ranks) = (communicator.rank, communicator.count)
    let name = "\(variant.card.id) \(variant.configurationSummary), \(variant.shape.summary), \(ranks) ranks"
    for (quantity, error) in try own.test.errors(own.whole) where !(error <= 1) {
      throw Failure("\(name): \(quantity) is off by \(error) of its bound")
    }
    let threads = try own.test.run(ranks, .small())
    guard own.whole.hasBits(of: threads) else {
      throw Failure("\(name): processes give other bits than threads")
    }
    func sent(_ traffic: Traffic) -> [Int] { [traffic.messages, traffic.bytesSent] }
    guard sent(own.part.forward) == sent(threads.forward[rank]),
      sent(own.part.backward) == sent(threads.backward[rank])
    else { throw Failure("\(name): processes send other messages than threads") }
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
