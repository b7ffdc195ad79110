import Basics
import Synchronization
import Testing

/// What every loop of the engine and of the fits relies on.
@Suite struct ParallelTests {
  private struct Failure: Error, Equatable { let index: Int }

  /// The ways to hand out indices.
  enum HandOut: CaseIterable, Sendable {
    case inOrder, byShare

    func forEach(
      count: Int, threads: Int, _ body: @Sendable (_ index: Int, _ worker: Int) throws -> Void
    ) rethrows {
      switch self {
      case .inOrder: try Parallel.forEach(count: count, threads: threads, body)
      case .byShare: try Parallel.forEachByShare(count: count, threads: threads, body)
      }
    }
  }

  /// Every index once, every worker below both bounds, no worker in two bodies at once.
  @Test(arguments: [0, 1, 2, 3, 7, 64, 1000], [1, 2, 3, 8, 33])
  func everyIndexOnceAndWorkersInBounds(count: Int, threads: Int) {
    for way in HandOut.allCases {
      let seen = Mutex([Int](repeating: 0, count: count))
      let busy = Mutex(Set<Int>())
      way.forEach(count: count, threads: threads) { index, worker in
        #expect((0..<min(threads, count)).contains(worker))
        let entered = busy.withLock { $0.insert(worker).inserted }
        #expect(entered, "\(way): worker \(worker) is in two bodies at once")
        seen.withLock { $0[index] += 1 }
        _ = busy.withLock { $0.remove(worker) }
      }
      #expect(seen.withLock { $0 } == [Int](repeating: 1, count: count), "\(way)")
    }
  }

  @Test("a negative count is none", arguments: HandOut.allCases)
  func negative(way: HandOut) { way.forEach(count: -3, threads: 2) { _, _ in Issue.record("a body ran") } }

  @Test("a worker begins with its own share, in order, and takes from the ends of others'")
  func shares() {
    // One worker alone: its share, and then what nobody else came for.
    let started = Mutex([Int]())
    Parallel.forEachByShare(count: 10, threads: 1) { index, _ in started.withLock { $0.append(index) } }
    #expect(started.withLock { $0 } == Array(0..<10))
    // Two that wait for each other at their first index have the first of their shares.
    guard Parallel.processorCount > 1 else { return }
    for _ in 0..<20 {
      let firsts = Mutex([Int: Int]()), arrived = Atomic<Int>(0)
      Parallel.forEachByShare(count: 40, threads: 2) { index, worker in
        firsts.withLock { if $0[worker] == nil { $0[worker] = index } }
        guard index == 0 || index == 20 else { return }
        arrived.wrappingAdd(1, ordering: .relaxed)
        while arrived.load(ordering: .relaxed) < 2 {}
      }
      #expect(firsts.withLock { $0 } == [0: 0, 1: 20])
    }
  }

  @Test("indices are handed out in order: when one runs, all lower ones have been handed out")
  func order() {
    let started = Mutex([Int]())
    Parallel.forEach(count: 500, threads: 1) { index, _ in started.withLock { $0.append(index) } }
    #expect(started.withLock { $0 } == Array(0..<500))
    let last = Atomic<Int>(-1)
    Parallel.forEach(count: 500, threads: 4) { index, _ in
      // No more than the other three can be behind this one.
      let before = last.exchange(index, ordering: .relaxed)
      #expect(index > before - 500)
    }
  }

  @Test(
    "the error of the lowest index is thrown, on any number of threads", arguments: [1, 2, 3, 8],
    HandOut.allCases)
  func errors(threads: Int, way: HandOut) {
    for _ in 0..<20 {
      let error = #expect(throws: Failure.self) {
        try way.forEach(count: 300, threads: threads) { index, _ in
          if index >= 40, index % 2 == 1 { throw Failure(index: index) }
        }
      }
      #expect(error == Failure(index: 41))
    }
  }

  @Test("an error stops the hand-out", arguments: HandOut.allCases)
  func stops(way: HandOut) {
    let ran = Atomic<Int>(0)
    #expect(throws: Failure.self) {
      try way.forEach(count: 1_000_000, threads: 2) { index, _ in
        ran.wrappingAdd(1, ordering: .relaxed)
        if index == 0 { throw Failure(index: 0) }
      }
    }
    #expect(ran.load(ordering: .relaxed) < 1_000_000)
  }

  @Test("a loop inside a loop runs, and numbers its own workers")
  func nesting() {
    let sums = Parallel.map(count: 9, threads: 3) { outer in
      Parallel.map(count: 50, threads: 4) { inner in
        let worker = Mutex(-1)
        Parallel.forEach(count: 1, threads: 5) { _, own in worker.withLock { $0 = own } }
        #expect(worker.withLock { $0 } == 0)
        return outer * inner
      }.reduce(0, +)
    }
    #expect(sums == (0..<9).map { $0 * 1225 })
  }

  @Test("loops that follow one another closely, from several threads at once, each have all of their indices")
  func closeLoops() {
    let sums = Parallel.map(count: 4, threads: 4) { caller in
      (0..<300).map { round in
        let sum = Atomic<Int>(0)
        Parallel.forEach(count: 5, threads: 2) { index, worker in
          precondition(worker < 2)
          _ = sum.wrappingAdd(index * (caller + round), ordering: .relaxed)
        }
        return sum.load(ordering: .relaxed)
      }
    }
    for caller in 0..<4 { #expect(sums[caller] == (0..<300).map { 10 * (caller + $0) }) }
    for round in 0..<2000 {
      let sum = Atomic<Int>(0)
      Parallel.forEach(count: 3, threads: 2) { index, _ in
        _ = sum.wrappingAdd(index + round, ordering: .relaxed)
      }
      #expect(sum.load(ordering: .relaxed) == 3 + 3 * round)
    }
  }

  @Test("map keeps the order of the indices, and what is nil stays nil", arguments: [1, 2, 7])
  func map(threads: Int) {
    let values = Parallel.map(count: 100, threads: threads) { $0 % 3 == 0 ? nil : $0 }
    #expect(values == (0..<100).map { $0 % 3 == 0 ? nil : $0 })
    #expect(Parallel.map(count: 0, threads: threads) { $0 }.isEmpty)
    let error = #expect(throws: Failure.self) {
      try Parallel.map(count: 100, threads: threads) { if $0 >= 30 { throw Failure(index: $0) } else { $0 } }
    }
    #expect(error == Failure(index: 30))
  }
}
