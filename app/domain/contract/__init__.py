"""What crosses HTTP and the queue. All other code passes these, never raw dicts.

Probabilities are in [0, 1]; ranks count from 1; times are UTC; durations are seconds.
"""

from __future__ import annotations

from app.domain.contract.additions import AddModel
from app.domain.contract.aliases import Alias, AliasList, AliasMove, AliasName, MoveAlias, NamedVersion, is_alias
from app.domain.contract.changes import Revert, Rollback
from app.domain.contract.checks import CheckedBatches, EditBatches
from app.domain.contract.edits import EditBatch, Fact, Hyperparameters, Unheld, Verify
from app.domain.contract.engines import Approximation, Engine, EngineServer, FollowerCard, ServerState, Serving
from app.domain.contract.exports import Export, ExportFormat, ExportReport, GgufType
from app.domain.contract.imports import ImportFormat, ImportReport, UnusableRecord
from app.domain.contract.jobs import Job, JobList, JobOutcome, JobStatus, Problem, Progress
from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.messages import Message, user_turn
from app.domain.contract.models import (
    FactInForce,
    FactList,
    Health,
    ModelList,
    ModelView,
    Version,
    VersionList,
    WorkerCard,
)
from app.domain.contract.neighbours import Neighbour
from app.domain.contract.paraphrases import Paraphrase
from app.domain.contract.proposal_ids import AnyVersion, ProposalId
from app.domain.contract.proposals import Drop, Proposal, ProposalList, Publish
from app.domain.contract.questions import (
    Answer,
    Candidate,
    Expected,
    Generate,
    GenerateReply,
    Generation,
    Prompt,
    Query,
    QueryReply,
    Question,
    TopToken,
)
from app.domain.contract.reports import (
    Attempt,
    Drift,
    EditReport,
    FactReport,
    Harm,
    InForceReport,
    SpreadReport,
    Standing,
)
from app.domain.contract.requests import REQUESTS, AnyJobRequest
from app.domain.contract.scores import Score, ScoredText, Scores, TokenScores
from app.domain.contract.texts import (
    TEXT_EVENT,
    Begun,
    Broken,
    ChosenToken,
    Continue,
    Finish,
    LikelyToken,
    Piece,
    Turn,
)
from app.domain.contract.values import FactKey, JobId, Name, NonNegative, Positive, Record, Reply, Request, Share, Text
from app.domain.contract.versions import Between, ChangedFact, FactDiff, UpdateNorms, VersionDetail, VersionDiff

__all__ = [
    "REQUESTS",
    "TEXT_EVENT",
    "AddModel",
    "Alias",
    "AliasList",
    "AliasMove",
    "AliasName",
    "Answer",
    "AnyJobRequest",
    "AnyVersion",
    "Approximation",
    "Attempt",
    "Begun",
    "Between",
    "Broken",
    "Candidate",
    "ChangedFact",
    "CheckedBatches",
    "ChosenToken",
    "Continue",
    "Drift",
    "Drop",
    "EditBatch",
    "EditBatches",
    "EditReport",
    "Engine",
    "EngineServer",
    "Expected",
    "Export",
    "ExportFormat",
    "ExportReport",
    "Fact",
    "FactDiff",
    "FactInForce",
    "FactKey",
    "FactList",
    "FactReport",
    "Finish",
    "FollowerCard",
    "Generate",
    "GenerateReply",
    "Generation",
    "GgufType",
    "Harm",
    "Health",
    "Hyperparameters",
    "ImportFormat",
    "ImportReport",
    "InForceReport",
    "Job",
    "JobId",
    "JobKind",
    "JobList",
    "JobOutcome",
    "JobRequest",
    "JobStatus",
    "LikelyToken",
    "Message",
    "ModelList",
    "ModelView",
    "MoveAlias",
    "Name",
    "NamedVersion",
    "Neighbour",
    "NonNegative",
    "Paraphrase",
    "Piece",
    "Positive",
    "Problem",
    "Progress",
    "Prompt",
    "Proposal",
    "ProposalId",
    "ProposalList",
    "Publish",
    "Query",
    "QueryReply",
    "Question",
    "Record",
    "Reply",
    "Request",
    "Revert",
    "Rollback",
    "Score",
    "ScoredText",
    "Scores",
    "ServerState",
    "Serving",
    "Share",
    "SpreadReport",
    "Standing",
    "Text",
    "TokenScores",
    "TopToken",
    "Turn",
    "Unheld",
    "UnusableRecord",
    "UpdateNorms",
    "Verify",
    "Version",
    "VersionDetail",
    "VersionDiff",
    "VersionList",
    "WorkerCard",
    "is_alias",
    "user_turn",
]
