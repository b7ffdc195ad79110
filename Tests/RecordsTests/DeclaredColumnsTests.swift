import Foundation
import Testing

@testable import Records

/// Declarations and what derives from them.
@Suite struct DeclaredColumnsTests {
  @Test("the columns of measurements.csv and their order are a contract")
  func contract() {
    let columns =
      "preset,experiment,variant,configuration,pass,batch,query_heads,key_heads,query_length,key_length,head_dim,"
      + "value_dim,causal,threads,isa,input,seed,status,reason,repeats,seconds_median,seconds_p20,seconds_p80,flops,"
      + "gflops,fraction_of_peak,density,plan_seconds,plan_bytes,workspace_bytes,peak_rss_bytes,predicted_bytes,"
      + "error_rel,cell_id,started_at,memory_bytes,padding_overhead,precision,error_oracle_rel,state_bytes,ranks,messages,"
      + "bytes_sent,seconds_waiting,kept_mass,seconds_choosing,quiet_repeats,machine,host,commit,program"
    #expect(MeasurementRow.columns.joined(separator: ",") == columns)
    let trainings =
      "run_id,experiment,task,task_configuration,attention,model_configuration,training_configuration,seed,status,"
      + "reason,parameters,parameters_non_embedding,tokens,compute_flops,steps,train_loss,validation_loss,"
      + "validation_accuracy,test_loss,test_accuracy,entropy_rate,seconds,tokens_per_second,fraction_of_peak,threads,"
      + "isa,evaluation,evaluation_attention,evaluation_task,started_at,compute_budget,attention_bytes,test_count,"
      + "optimal_loss,held_out,predicted_loss,predicted_low,predicted_high,predicted_by,evaluation_memory,"
      + "memory_bytes,bounded_mean,ranks,cache_bytes,extended_from,way_tokens_read,way_tokens_kept,way_seconds,evaluation_rotary,"
      + "auxiliary,loss_task,role,task_weight,task_share,task_steps,task_tokens,test_exact_match,"
      + "test_examples,machine,host,commit,program"
    #expect(TrainingRow.columns.joined(separator: ",") == trainings)
    #expect(
      CurveRow.columns.joined(separator: ",")
        == "run_id,experiment,step,tokens,compute_flops,learning_rate,train_loss,validation_loss,"
        + "validation_accuracy,gradient_norm,seconds,bounded_mean,loss_task,role")
    #expect(
      StepRow.columns.joined(separator: ",")
        == "run_id,experiment,step,tokens,loss,learning_rate,gradient_norm,seconds,loss_task,role")
    #expect(
      CellEntry.columns.joined(separator: ",") == "number,cells,shard,shards,experiment,cell_id,cell")
    #expect(
      FitRow.columns.joined(separator: ",")
        == "group,form,formula,loss,delta,space,rows_used,rows_dropped,objective,rss,aicc,bic,condition_number,"
        + "starts,starts_at_best,distinct_minima,converged,parameter,value,standard_error,low,high,interval,warnings"
    )
  }

  @Test("scripts write no list of columns by hand, and use none that does not exist")
  func scripts() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let folder = root + "/Experiments/peers/"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".py") }
    #expect(names.contains("time_peers.py"))
    for name in names {
      let text = try String(contentsOfFile: folder + name, encoding: .utf8)
      #expect(
        !text.contains("seconds_p20,seconds_p80"),
        "\(name) lists columns; attnlab list columns --json has them")
    }
    let script = try String(contentsOfFile: folder + "time_peers.py", encoding: .utf8)
    #expect(script.contains("\"list\", \"columns\", \"--json\""))
    let used = script.matches(of: /(?:row|ours|peer|found)\["(\w+)"\]/).map { String($0.output.1) }
    #expect(used.count > 10)
    for column in used { #expect(MeasurementRow.columns.contains(column), "time_peers.py: \(column)") }
    // Keywords of the rows that the script makes.
    let made = script.matches(of: /(?:row|peer)\.update\(([^{].*?)\)\n/.dotMatchesNewlines())
      .flatMap { $0.output.1.matches(of: /(?:^|[ (,\n])(\w+)=/).map { String($0.output.1) } }
    #expect(made.contains("query_heads"))
    for column in made { #expect(MeasurementRow.columns.contains(column), "time_peers.py: \(column)") }
  }
}
