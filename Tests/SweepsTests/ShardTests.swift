import Attention
import Basics
import Measuring
import Testing

@testable import Presets
@testable import Sweeps

/// Which cells a part has, and which part a task is.
@Suite struct ShardTests {
  @Test("every cell is in exactly one part, and parts differ by one cell at most")
  func partition() {
    for total in [0, 1, 2, 7, 60, 61] {
      for count in 1...13 {
        let parts = (1...count).compactMap { Shard("\($0)/\(count)") }
        #expect(parts.count == count)
        let sizes = parts.map { part in (1..<total + 1).count { part.holds($0) } }
        #expect(sizes.reduce(0, +) == total && (sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
      }
    }
  }

  @Test(arguments: [
    "", "3", "0/4", "5/4", "-1/4", "1/0", "1/4/2", "a/b", "1/ 4", "+1/4", "1/1000001", "1.0/2",
    "99999999999999999999/2",
  ])
  func whatIsNoPart(text: String) { #expect(Shard(text) == nil) }

  @Test func aPartHasAFolderOfItsOwn() {
    #expect(Shard("3/12")?.path(in: "out") == "out/shards/3-of-12")
    #expect(Shard("1/1")?.path(in: "out") == "out")
  }

  /// ID, MIN, MAX, COUNT, STEP and the part.
  @Test(arguments: [
    (["3", "1", "12", "12", nil], "3/12"), (["0", "0", "59", "60", nil], "1/60"),
    (["59", "0", "59", "60", "1"], "60/60"), (["10", "4", "16", "4", "4"], nil),
    (["12", "4", "16", "4", "4"], "3/4"), (["7", "1", nil, "8", nil], "7/8"),
    (["5", "5", "5", "1", "1"], "1/1"),
    // 3,7 and 1,2,3,7: submitted again in part.
    (["7", "3", "7", "2", "1"], nil), (["2", "1", "7", "4", "1"], nil), (["x", "1", "4", "4", nil], nil),
    (["1", nil, nil, nil, nil], nil),
  ])
  func partOfAnArrayTask(values: [String?], part: String?) throws {
    let names = ["ID", "MIN", "MAX", "COUNT", "STEP"].map { "SLURM_ARRAY_TASK_" + $0 }
    let variables = Dictionary(
      uniqueKeysWithValues: zip(names, values).compactMap { name, value in value.map { (name, $0) } })
    if let part {
      #expect(try Shard.ofArrayTask(variables)?.description == part)
    } else {
      let error = #expect(throws: UsageError.self) { try Shard.ofArrayTask(variables) }
      #expect(error?.description.hasSuffix("give --shard i/n") == true)
    }
    #expect(try Shard.ofArrayTask([:]) == nil)
  }

  @Test("--only moves no cell to another part")
  func onlyKeepsParts() throws {
    let sweep = try FakeSweep()
    for index in 1...3 {
      let shard = try #require(Shard("\(index)/3"))
      let all = try PresetSelection(sweep.preset, shard: shard, only: nil, catalog: .standard)
      let some = try PresetSelection(sweep.preset, shard: shard, only: ["lsh"], catalog: .standard)
      #expect(all.count == (index == 1 ? 4 : 3) && some.count < all.count)
    }
  }

  @Test("kinds follow one another in the numbers")
  func numbersOfKinds() throws {
    let sweep = try FakeSweep(
      """
      experiments:
        - {name: t, experiment: training, task: mqar, seed: [1, 2, 3]}
        - {name: m, n: [8, 16], variants: [full]}
      """)
    #expect(try PresetNumbering(sweep.preset).total == 5)
    let selection = try PresetSelection(sweep.preset, shard: .whole, only: nil, catalog: .standard)
    #expect(selection.kinds.count == 2 && selection.count == 5)
  }

  @Test(arguments: [
    ([], ""), ([3], "3"), ([1, 2, 3, 7], "1-3,7"), ([9, 7, 8, 7, 1], "1,7-9"),
  ])
  func listsOfTasks(numbers: [Int], text: String) {
    #expect(TaskList.text(numbers) == text)
    if !numbers.isEmpty { #expect(TaskList.numbers(text) == Array(Set(numbers)).sorted()) }
  }

  @Test(arguments: ["", "a", "1-", "-3", "3-1", "1,,2", "1-2-3", "1:2"])
  func whatIsNoList(text: String) { #expect(TaskList.numbers(text) == nil) }
}
