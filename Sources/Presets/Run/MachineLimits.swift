import Basics
import CKernels
import Dispatch
import Processor
import Tensors

/// What this machine can do, measured now: the denominators of every reported fraction.
public struct MachineLimits: Hashable, Sendable {
  /// The instruction set measured.
  public let instructionSet: InstructionSet
  /// The threads of the parallel figures.
  public let threads: Int
  /// Fused multiply-adds on registers, one thread: floating-point operations a second.
  public let peakFlopsOneThread: Double
  /// The same on all `threads` at once.
  public let peakFlopsAllThreads: Double
  /// Reading memory that fits no cache, one thread: bytes a second.
  public let bandwidthOneThread: Double
  /// The same on all `threads` at once.
  public let bandwidthAllThreads: Double

  /// Measures; the best of several runs each, since other work on the machine only ever slows it down.
  /// - Parameters:
  ///   - instructionSet: whose multiply–adds are counted.
  ///   - threads: how many work at once.
  ///   - seconds: about how long the whole measurement may take.
  ///   - bufferBytes: what is read, a thread; `nil`: more than twice the last-level cache in all.
  /// - Throws: `MemoryLimitExceeded`.
  /// - Complexity: about `seconds`; allocates `bufferBytes` a thread, 4 GiB at most in all.
  public static func measure(
    instructionSet: InstructionSet = .default, threads: Int = Parallel.processorCount, seconds: Double = 1,
    bufferBytes: Int? = nil
  ) throws -> MachineLimits {
    let share = seconds / 4
    let one = peakFlops(instructionSet: instructionSet, threads: 1, seconds: share)
    let all = threads == 1 ? one : peakFlops(instructionSet: instructionSet, threads: threads, seconds: share)
    let oneBandwidth = try bandwidth(
      instructionSet: instructionSet, threads: 1, seconds: share, bufferBytes: bufferBytes)
    let allBandwidth =
      threads == 1
      ? oneBandwidth
      : try bandwidth(
        instructionSet: instructionSet, threads: threads, seconds: share, bufferBytes: bufferBytes)
    return MachineLimits(
      instructionSet: instructionSet, threads: threads, peakFlopsOneThread: one, peakFlopsAllThreads: all,
      bandwidthOneThread: oneBandwidth, bandwidthAllThreads: allBandwidth)
  }

  /// Measures the peak of multiply-adds alone: floating-point operations a second. That of bfloat16 pairs is that of
  /// float32 where the processor has no instruction for them.
  /// - Complexity: about `seconds`.
  public static func peakFlops(
    instructionSet: InstructionSet = .default, threads: Int, seconds: Double = 0.2,
    precision: Precision = .float32
  ) -> Double {
    best(for: seconds) {
      precision == .bfloat16 && instructionSet.hasBFloat16Products
        ? peak(threads: threads) { attn_dot16_loop(Int32(ATTN_AVX512_BF16), $0) }
        : peak(instructionSet.code, threads: threads)
    }
  }

  /// The bytes that each of `threads` reads in a measurement of bandwidth, so that all together fit no cache: 128 MiB, or more
  /// where the last-level cache holds half of what they read.
  static func bufferBytes(threads: Int, cacheBytes: Int = LastLevelCache.bytes) -> Int {
    max(128 << 20, 2 * cacheBytes / threads + (1 << 20))
  }

  /// Measures the rate of reading memory that fits no cache, or a buffer of a given size: bytes a second.
  /// - Parameters:
  ///   - instructionSet: whose loads are used.
  ///   - threads: how many read at once.
  ///   - seconds: about how long it may take.
  ///   - bufferBytes: what is read, a thread; `nil`: more than twice the last-level cache in all.
  /// - Throws: `MemoryLimitExceeded`.
  /// - Complexity: about `seconds` and the time to fill the buffer; allocates `bufferBytes` a thread, 4 GiB at most.
  public static func bandwidth(
    instructionSet: InstructionSet = .default, threads: Int, seconds: Double = 0.2,
    bufferBytes: Int? = nil
  ) throws -> Double {
    let share = min(bufferBytes ?? MachineLimits.bufferBytes(threads: threads), (4 << 30) / threads)
    let buffer = try Tensor(zeros: [threads, share / MemoryLayout<Float>.stride])
    return best(for: seconds) { bandwidth(instructionSet.code, buffer, threads: threads) }
  }

  /// Measures the rate of reading and writing a buffer in place, as a state that moves on is: bytes a second, read and written.
  /// - Parameters:
  ///   - instructionSet: whose loads and stores are used.
  ///   - threads: how many work at once.
  ///   - seconds: about how long it may take.
  ///   - bufferBytes: what is read and written, a thread.
  /// - Throws: `MemoryLimitExceeded`.
  /// - Complexity: about `seconds` and the time to fill the buffer; allocates `bufferBytes` a thread, 4 GiB at most.
  public static func rewriting(
    instructionSet: InstructionSet = .default, threads: Int, seconds: Double = 0.2, bufferBytes: Int
  ) throws -> Double {
    let share = min(bufferBytes, (4 << 30) / threads), count = share / MemoryLayout<Float>.stride
    var buffer = try Tensor(zeros: [threads, count])
    let view = buffer.pinnedForWriting()
    return best(for: seconds) {
      let seconds = time {
        Parallel.forEach(count: threads, threads: threads) { index, _ in
          attn_rewrite_loop(instructionSet.code, view + index * count, Int64(count))
        }
      }
      return Double(2 * threads * count * MemoryLayout<Float>.stride) / seconds
    }
  }

  /// The highest of at least three rates, for about the given time, and up to eight times as long until a second one
  /// comes within 3 % of it: on a machine that was busy at the start a single rate says little.
  private static func best(for seconds: Double, _ rate: () -> Double) -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    func passed(_ limit: Double) -> Bool {
      DispatchTime.now().uptimeNanoseconds >= start + UInt64(limit * 1e9)
    }
    var highest = 0.0, second = 0.0
    var runs = 0
    while runs < 3 || !passed(seconds) || (second < 0.97 * highest && !passed(8 * seconds)) {
      let found = rate()
      (highest, second) = found > highest ? (found, highest) : (highest, max(second, found))
      runs += 1
    }
    return highest
  }

  private static func time(_ body: () -> Void) -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    body()
    return Double(max(1, DispatchTime.now().uptimeNanoseconds - start)) * 1e-9
  }

  private static func peak(_ isa: Int32, threads: Int) -> Double {
    peak(threads: threads) { attn_fma_loop(isa, $0) }
  }

  /// The rate of a loop that takes a number of rounds and returns the operations done.
  private static func peak(threads: Int, _ loop: @Sendable (Int64) -> Double) -> Double {
    let rounds: Int64 = 1_000_000
    let flops = loop(1000) / 1000 * Double(rounds) * Double(threads)
    let seconds = time {
      Parallel.forEach(count: threads, threads: threads) { _, _ in _ = loop(rounds) }
    }
    return flops / seconds
  }

  private static func bandwidth(_ isa: Int32, _ buffer: Tensor, threads: Int) -> Double {
    let count = buffer.shape[1], view = buffer.pinned()
    let seconds = time {
      Parallel.forEach(count: threads, threads: threads) { index, _ in
        _ = attn_read_loop(isa, view + index * count, Int64(count))
      }
    }
    return Double(threads * count * MemoryLayout<Float>.stride) / seconds
  }
}
