import Basics
import Foundation
import Tensors

/// The machine that results come from.
public struct Machine: Hashable, Sendable {
  /// The operating system with its version.
  public let system: String
  /// The architecture, such as x86_64.
  public let architecture: String
  /// The processor's name.
  public let processor: String
  /// Processors that this process may use.
  public let processors: Int
  /// Bytes of memory.
  public let memoryBytes: Int
  /// Instruction sets that the kernels can use here, best first.
  public let instructionSets: [String]
  /// The computer's name.
  public let host: String

  /// The column `machine`: rows of machines that are alike may be compared.
  public var kind: String {
    Machine.kind(processor: processor, processors: processors, instructionSet: instructionSets.first)
  }

  /// The machine that this runs on.
  public static let current = Machine()

  private init() {
    var name = utsname()
    uname(&name)
    func text<T>(_ field: T) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    system = "\(text(name.sysname)) \(text(name.release))"
    architecture = text(name.machine)
    host = text(name.nodename)
    processor = Machine.processorName() ?? architecture
    processors = Parallel.processorCount
    memoryBytes = ProcessMemory.machineBytes
    instructionSets = InstructionSet.available.map(\.rawValue)
  }

  /// The column `machine` of the machine in an `environment.json`; `nil` when that names none.
  static func kind(_ record: JSONValue) -> String? {
    guard let processor = record["processor"].stringValue else { return nil }
    return kind(
      processor: processor, processors: record["processors"].numberValue.flatMap { Int(exactly: $0) },
      instructionSet: record["instruction_sets"].arrayValue.first?.stringValue)
  }

  private static func kind(processor: String, processors: Int?, instructionSet: String?) -> String {
    [processor, processors.map { counted($0, "processor") }, instructionSet]
      .compactMap(\.self).joined(separator: ", ")
  }

  /// What an `environment.json` says of its machine that is not so here; `nil` when it names none. What an older
  /// record leaves out is not compared.
  package func differences(from record: JSONValue) -> [(there: String, here: String)]? {
    let machine = record["machine"]
    guard let processor = machine["processor"].stringValue ?? record["processor"].stringValue else {
      return nil
    }
    let names: [(String?, String)] = [
      (processor, self.processor), (record["processor"].stringValue, self.processor),
      (machine["architecture"].stringValue, architecture), (machine["system"].stringValue, system),
    ]
    var found = names.compactMap { there, here in there.flatMap { $0 == here ? nil : (there: $0, here: here) }
    }
    if let count = machine["processors"].numberValue, count != Double(processors) {
      found.append(("\(Quantity.significant(count, 6)) processors", "\(processors)"))
    }
    // The system keeps a little for itself, not always the same.
    if let bytes = machine["memory_bytes"].numberValue, abs(bytes / Double(memoryBytes) - 1) > 0.01 {
      let text = [bytes, Double(memoryBytes)].map { Quantity.describe(bytes: $0) }
      found.append(("a machine with \(text[0]) of memory", "one with \(text[1])"))
    }
    return found
  }

  private static func processorName() -> String? {
    #if os(Linux)
      guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return nil }
      let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
      return line?.split(separator: ":", maxSplits: 1).last.map { String($0).trimmed }
    #else
      var size = 0
      guard sysctlbyname("machdep.cpu.brand_string", nil, &size, nil, 0) == 0, size > 0 else { return nil }
      var bytes = [UInt8](repeating: 0, count: size)
      guard sysctlbyname("machdep.cpu.brand_string", &bytes, &size, nil, 0) == 0 else { return nil }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    #endif
  }

  /// The machine as JSON.
  public var json: JSONValue {
    .object([
      "system": .string(system), "architecture": .string(architecture), "processor": .string(processor),
      "processors": .int(processors), "memory_bytes": .int(memoryBytes),
      "instruction_sets": .array(instructionSets.map { .string($0) }),
    ])
  }
}
