"""Chinese, in both ways of writing. It has no spaces: the longest form that fits is read."""

from __future__ import annotations

from tierkeep.guard.amemguard.lexicon.lexis import Lexis

__all__ = ["CHINESE"]

CHINESE = Lexis(
    actions={
        "send": "发送 發送 转发 轉發 抄送 密送 寄送 寄给 寄給 发给 發給 发到 發到 发至 發至 上传 上傳 同步 共享 分享 公布 公佈 发布 發佈 导出 導出 推送 提交",
        "pay": "支付 付款 转账 轉賬 轉帳 汇款 匯款 打款 退款 退还 退還 结算 結算 汇入 匯入 转入 轉入",
        "delete": "删除 刪除 清除 清空 抹除 销毁 銷毀 移除 擦除 卸载 卸載",
        "grant": "授予 允许 允許 授权 授權 启用 啟用 解锁 解鎖 开通 開通 放行",
        "run": "运行 運行 执行 執行 安装 安裝 下载 下載 启动 啟動",
        "change": "更改 修改 变更 變更 更新 重置 替换 替換 改为 改為 重定向",
        "buy": "购买 購買 买入 買入 卖出 賣出 订购 訂購 投资 投資 预订 預訂",
    },
    controls={
        "verification": "验证 驗證 核实 核實 核对 核對 身份 校验 校驗 检查 檢查 回拨 回撥",
        "approval": "批准 审批 審批 确认 確認 许可 許可 同意书 签字 簽字",
        "review": "审核 審核 复核 複核 审查 審查 监督 監督",
        "audit": "审计 審計 日志 日誌 记录 記錄 监控 監控 告警 警告",
        "authentication": "密码 密碼 登录 登錄 认证 認證 双因素 雙因素 多因素",
        "protection": "加密 防火墙 防火牆 备份 備份 保护 保護 安全 限额 限額",
        "consent": "隐私 隱私 知情同意 披露",
        "rule": "规则 規則 政策 规定 規定 流程 制度 限制",
    },
    weaken="跳过 跳過 绕过 繞過 忽略 无需 無需 无须 無須 不必 不用 免除 关闭 關閉 禁用 停用 省略 暂缓 暫緩 略过 略過 事后 事後 稍后 稍後 之后再 之後再 "
    "豁免 取消 屏蔽 解除 免去 而不经 未经 未經 先行",
    deny="不得 不要 不能 不可 禁止 切勿 严禁 嚴禁 从不 從不 绝不 絕不 请勿 請勿 决不 決不 不许 不許 不允许 不允許 拒绝 拒絕 只能 仅限 僅限 除非",
    need="需要 必须 必須 必要",
    wide="所有 全部 整个 整個 数据库 數據庫 资料库 資料庫 生产环境 生產環境 历史 歷史 永久 彻底 徹底 账户 賬戶 帳戶",
    condition="如果 若 当 當 每当 每當 一旦 只要 凡是",
)
