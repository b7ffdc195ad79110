import Basics
import LabTestSupport
import Ranks
import Tensors
import Testing

@Suite struct CommunicatorTests {
  private struct Given: Error, CustomStringConvertible { let description = "the disk is full" }

  @Test("Ranks that send before they receive, and wait in between, are told so instead of waiting for ever")
  func deadlock() throws {
    #expect {
      try ThreadGroup.run(2) { rank in
        let message = try Tensor(zeros: [4])
        try rank.send(message, to: 1 - rank.rank, tag: .exchange).wait()
        return try rank.receive(4, .float32, from: 1 - rank.rank, tag: .exchange, ledger: nil).wait().count
      }
    } throws: { "\($0)".contains("all ranks wait for each other") }
  }

  @Test("Messages with a tag arrive in order, count themselves, and fill memory of the receiver's own")
  func messages() throws {
    let sums = try ThreadGroup.run(3, delays: RandomKey(seed: 5)) { rank -> (values: [Float], bytes: Int) in
      let ledger = MemoryLedger()
      let next = (rank.rank + 1) % 3, previous = (rank.rank + 2) % 3
      let sends = try (0..<5).map {
        try rank.send(Tensor([Float(10 * rank.rank + $0)], shape: [1]), to: next, tag: .keys)
      }
      let values = try (0..<5).map { _ in
        try rank.receive(1, .float32, from: previous, tag: .keys, ledger: ledger).wait()[0]
      }
      for send in sends { try send.wait() }
      #expect(rank.traffic.current.messages == 5 && rank.traffic.current.bytesSent == 20)
      #expect(rank.traffic.current.secondsWaiting > 0)
      return (values, ledger.peakBytes)
    }
    #expect(sums.map(\.values) == [[20, 21, 22, 23, 24], [0, 1, 2, 3, 4], [10, 11, 12, 13, 14]])
    #expect(sums.allSatisfy { $0.bytes >= 4 })
  }

  @Test("A rank that fails ends the waits of all others at once, with its reason")
  func failure() throws {
    let time = BodyTime()
    #expect {
      try ThreadGroup.run(4) { rank -> Int in
        if rank.rank == 2 { throw Given() }
        do {
          return try rank.receive(1, .float32, from: 2, tag: .keys, ledger: nil).wait().count
        } catch {
          #expect("\(error)" == "rank 2 ended: the disk is full")
          throw error
        }
      }
    } throws: { $0 is Given }
    #expect(time.seconds < 10)
  }

  @Test("A message of another size than expected is refused")
  func sizes() throws {
    #expect(throws: RankFailure.self) {
      try ThreadGroup.run(2) { rank -> Int in
        if rank.rank == 0 {
          let send = try rank.send(Tensor(zeros: [3]), to: 1, tag: .keys)
          try send.wait()
          return 0
        }
        return try rank.receive(4, .float32, from: 0, tag: .keys, ledger: nil).wait().count
      }
    }
  }
}
