import Basics
import Foundation
import Fuzzing
import Synchronization

/// `attnlab-fuzz`: mutated inputs for every reader, as many as asked for.
///
///     attnlab-fuzz [READER…] [--count N] [--seed S] [--state FOLDER]     all readers, 1000000 each
///     attnlab-fuzz READER --only K [--seed S]                            one input again, printed and read
///
/// Each reader runs in a process of its own under 4 GiB of address space, and writes down which input it is at: a crash or a
/// hang is named with its number, and the run goes on behind it. A run that was stopped goes on where it was.
struct FuzzLab {
  var readers: [String] = []
  var count = 1_000_000, from = 0
  var only: Int?
  var seed: UInt64 = 1
  var state = ".build/fuzz"
  var isWorker = false

  init(_ arguments: [String]) throws(UsageError) {
    var words = arguments[...]
    func number(_ flag: String) throws(UsageError) -> Int {
      guard let word = words.popFirst(), let number = Int(word), number >= 0 else {
        throw UsageError("\(flag): it takes a whole number of at least 0")
      }
      return number
    }
    while let word = words.popFirst() {
      switch word {
      case "--count": count = try number(word)
      case "--from": from = try number(word)
      case "--only": only = try number(word)
      case "--seed": seed = UInt64(try number(word))
      case "--state": state = words.popFirst() ?? state
      case "--work": isWorker = true
      default:
        guard FuzzReader.all.contains(where: { $0.name == word }) else {
          throw UsageError(
            "\(shown(word)): no reader; there are \(FuzzReader.all.map(\.name).joined(separator: ", "))")
        }
        readers.append(word)
      }
    }
    if readers.isEmpty { readers = FuzzReader.all.map(\.name) }
  }

  /// Runs what the arguments say.
  /// - Returns: the exit code.
  func run() throws -> Int32 {
    let chosen = FuzzReader.all.filter { readers.contains($0.name) }
    if let only {
      for reader in chosen { try again(reader, only) }
      return 0
    }
    if isWorker { return try chosen.first.map(work) ?? 2 }
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    var failures = 0
    for reader in chosen { failures += try supervise(reader.name) }
    return failures == 0 ? 0 : 1
  }

  private func file(_ reader: String) -> String { "\(state)/\(reader)-\(seed)" }

  private func again(_ reader: FuzzReader, _ number: Int) throws {
    let input = reader.input(seed: seed, number)
    print("\(reader.name) \(number): \(input.count) bytes")
    print(visible(String(decoding: input, as: UTF8.self), keepingLineBreaks: true))
    try reader.run(input)
    print("read or refused")
  }

  // MARK: - One reader in a process of its own

  private func supervise(_ reader: String) throws -> Int {
    var next = Int((try? String(contentsOfFile: file(reader), encoding: .utf8))?.trimmed ?? "") ?? 0
    if next >= count { next = 0 }
    var failures = 0
    let start = ContinuousClock.now, first = next
    while next < count, failures < 20 {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [
        "-c", "ulimit -v 4194304; exec \"$@\"", "sh", Bundle.main.executablePath ?? CommandLine.arguments[0],
        reader,
        "--work", "--from", "\(next)", "--count", "\(count)", "--seed", "\(seed)", "--state", state,
      ]
      try process.run()
      process.waitUntilExit()
      let code = process.terminationStatus
      if process.terminationReason == .exit, code == 0 {
        next = count
      } else {
        next = Int((try? String(contentsOfFile: file(reader), encoding: .utf8))?.trimmed ?? "") ?? next
        failures += 1
        let what =
          process.terminationReason == .exit ? (code == 3 ? "hangs" : "fails") : "crashes (signal \(code))"
        print("\(reader): input \(next) \(what); again: attnlab-fuzz \(reader) --only \(next) --seed \(seed)")
        next += 1
      }
    }
    let seconds = start.duration(to: .now) / .seconds(1)
    print("\(reader): \(next - first) inputs, \(failures) failures, \(Int(seconds)) s")
    return failures
  }

  /// Stops at the first failure with code 1; the number of the input stands in the state file.
  private func work(_ reader: FuzzReader) throws -> Int32 {
    let place = file(reader.name)
    guard FileManager.default.createFile(atPath: place, contents: nil),
      let handle = FileHandle(forWritingAtPath: place)
    else {
      throw UsageError("\(place): cannot be written")
    }
    Watchdog.watch()
    var most = ProcessMemory.peakBytes() ?? 0, read = 0
    for number in from..<max(from, count) {
      let text = "\(number)"
      handle.seek(toFileOffset: 0)
      handle.write(Data((text + String(repeating: " ", count: 20 - text.count)).utf8))
      Watchdog.number.store(number, ordering: .relaxed)
      let input = reader.input(seed: seed, number)
      do { try reader.run(input) } catch {
        print("\(reader.name) \(number): \(error)")
        return 1
      }
      read += input.count
      guard number % 64 == 63 else { continue }
      let now = ProcessMemory.peakBytes() ?? 0
      // What readers may hold of their inputs: their pages, and the allocator's.
      if now - most > (64 << 20) + 1024 * read {
        print(
          "\(reader.name) \(number - 63) to \(number): \(now - most) bytes of memory for inputs of \(read)")
        return 1
      }
      (most, read) = (now, 0)
    }
    handle.seek(toFileOffset: 0)
    handle.write(Data("\(count)".utf8))
    return 0
  }
}

/// The input that the process is at, and a thread that ends the process when it stays at one, or when nobody waits for it.
enum Watchdog {
  static let number = Atomic<Int>(-1)

  static func watch() {
    let parent = getppid()
    Thread.detachNewThread {
      var last = -1
      while true {
        for _ in 0..<20 {
          Thread.sleep(forTimeInterval: 1)
          // The supervisor was killed: the state file says where to go on.
          if getppid() != parent { exit(4) }
        }
        let now = number.load(ordering: .relaxed)
        if now == last { exit(3) }
        last = now
      }
    }
  }
}

do {
  exit(try FuzzLab(Array(CommandLine.arguments.dropFirst())).run())
} catch {
  FileHandle.standardError.write(Data("attnlab-fuzz: \(error)\n".utf8))
  exit(2)
}
