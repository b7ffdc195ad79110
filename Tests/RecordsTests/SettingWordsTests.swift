import Records
import Testing

@Suite("settings in names")
struct SettingWordsTests {
  @Test(
    "equal sides are one window",
    arguments: [
      (["left=64", "right=64"], ["window=64"]),
      (["sinks=1", "left=[4, 8]", "right=[4, 8]"], ["sinks=1", "window=[4, 8]"]),
      (["left=64", "right=0"], ["left=64", "right=0"]),
      (["left=64"], ["left=64"]),
      ([], []),
    ])
  func sides(settings: [String], words: [String]) { #expect(settingWords(settings) == words) }
}
