//! Opening and closing tasks.

use super::{Call, api, service};
use crate::broker::{Error, Opening, TaskStory};
use crate::grpc::calls::Parts;
use crate::grpc::{fields, time};
use crate::model::Invalid;
use crate::policy::Caller;

service!(tasks_server::Tasks {
    open(TasksOpenRequest) -> TasksOpenResponse;
    close(TasksCloseRequest) -> TasksCloseResponse;
    get(TasksGetRequest) -> TasksGetResponse;
    list(TasksListRequest) -> TasksListResponse;
});

/// The most tasks in one list.
const MOST_LISTED: usize = 1000;

impl Call for api::TasksOpenRequest {
    type Answer = api::TasksOpenResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let deadline = self.deadline.ok_or_else(|| Invalid::new("deadline", "say when the task ends by itself, within 24 hours"))?;
        let ask = Opening {
            owner: fields::optional("owner", &self.owner)?,
            environment: fields::required("environment", &self.environment)?,
            workload: fields::optional("workload", &self.workload)?,
            deadline: time::instant("deadline", &deadline)?,
            purpose: fields::required("purpose", &self.purpose)?,
        };
        Ok(api::TasksOpenResponse { task: Some(parts.broker.open_task(caller, ask).await?.into()) })
    }
}

impl Call for api::TasksCloseRequest {
    type Answer = api::TasksCloseResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let note = fields::optional("note", &self.note)?;
        let closed = parts.broker.close_task(caller, fields::position("task", self.task)?, note).await?;
        Ok(api::TasksCloseResponse { position: fields::number(closed.position), ended: closed.ended.total, repeated: closed.repeated })
    }
}

impl Call for api::TasksGetRequest {
    type Answer = api::TasksGetResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let task = parts.broker.task(caller, fields::position("task", self.task)?).await?;
        Ok(api::TasksGetResponse { task: Some(task.into()) })
    }
}

impl Call for api::TasksListRequest {
    type Answer = api::TasksListResponse;

    async fn answer(self, parts: &Parts, caller: &Caller) -> Result<Self::Answer, Error> {
        let owner = fields::optional("owner", &self.owner)?;
        let (tasks, truncated) = parts.broker.tasks(caller, owner, MOST_LISTED).await?;
        Ok(api::TasksListResponse { tasks: tasks.into_iter().map(Into::into).collect(), truncated })
    }
}

impl From<TaskStory> for api::Task {
    fn from(task: TaskStory) -> Self {
        Self {
            task: task.number.get(),
            owner: task.owner,
            environment: task.environment,
            workload: task.workload.unwrap_or_default(),
            deadline: Some(time::timestamp(task.deadline)),
            purpose: task.purpose.to_string(),
            opened_by: task.opened_by.to_string(),
            opened_at: Some(time::timestamp(task.opened_at)),
            closed_position: fields::number(task.closed),
        }
    }
}
